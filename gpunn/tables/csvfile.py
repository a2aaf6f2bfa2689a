"""CSV files: read in blocks by pyarrow, and what is wrong with them told by the line."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpunn.names import counted
from gpunn.tables.arrow import decode, encoded, need_pyarrow
from gpunn.tables.table import NUMBER, TEXT

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "<NA>")
DELIMITERS = ",;\t|"
DECIMAL, SNIFFED = re.compile(r"\s*[-+]?\d+([.,])\d+\s*"), 100  # rows
MANY, MOSTLY = 20, 0.9  # of a column's texts: more numbers than that are a column of numbers, mistaken
BLOCK = 1 << 20  # bytes; the first block's values decide the types


class CsvFile:
    """A CSV file, UTF-8 with or without a byte order mark, with any line ends, perhaps gzipped.

    delimiter: one character; None takes the one of , ; tab | that the first line has most of. header: whether
    the first line names the columns; None: unless it is all numbers. Without, columns are called "1", "2", …;
    a single one without a name, such as pandas' index, is "column 1".
    kinds: what each column seems to hold.
    Raises ValueError, in one line that names the file and where it can the line, for what is no such file.
    """

    def __init__(self, path: Path, delimiter: str | None = None, header: bool | None = None) -> None:
        self.path, self.csv = path, need_pyarrow(path, "csv")
        self.delimiter, self.header, self.names = delimiter or ",", False, list[str]()
        with self._explained():
            if next(self._records(), None) is None:
                raise ValueError(f"{path} is empty")
            self.delimiter = delimiter or self._sniff()
            _, first, self.begin = next(self._records())
        points = (name.replace(",", ".") for name in first)
        self.header = not all(map(is_number, points)) if header is None else header
        self.names = [name.strip() for name in first]
        if not self.header:
            self.names, self.begin = [str(k) for k in range(1, len(first) + 1)], 0
        if self.names.count("") == 1:
            nameless = self.names.index("")
            self.names[nameless] = f"column {nameless + 1}"
        self._check_names()
        with self._explained():
            self.point = self._sniff_point()
            self.kinds = self._infer()

    def _sniff(self) -> str:
        """The delimiter that the first line has most of, outside of quotes."""
        with self._open() as file:
            line = next(line for line in file if line.strip())
        outside = "".join(line.split('"')[::2])
        return max(DELIMITERS, key=outside.count)

    def _sniff_point(self) -> str:
        """What stands before a number's decimals: a comma where that is seen, and no point, and it may."""
        rows = itertools.islice(self._rows(), SNIFFED)
        found = {match[1] for _, row, _ in rows for value in row if (match := DECIMAL.fullmatch(value))}
        return "," if found == {","} and self.delimiter != "," else "."

    @property
    def notes(self) -> list[str]:
        """What to say of how the file is read."""
        unnamed = [] if self.header else [f"has no header: its columns are called 1 to {len(self.names)}"]
        return unnamed + (["has decimal commas"] if self.point == "," else [])

    def _check_names(self) -> None:
        hint = " (or has the file no header? then --no-header)" if self.header else ""
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            called = f"are called '{name}'" if name else "have no name"
            raise ValueError(f"{self.path}: {times} columns {called}: name them apart{hint}")

    def _infer(self) -> dict[str, str]:
        """NUMBER or TEXT by column; dates are texts, and a column with nothing yet is of numbers."""
        import pyarrow.types as types

        schema = self._reader({}).schema
        numbers = types.is_integer, types.is_floating, types.is_null
        kinds = [NUMBER if any(is_(field.type) for is_ in numbers) else TEXT for field in schema]
        return dict(zip(self.names, kinds, strict=True))

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The columns that kinds names, block after block: floats with NaN, or (codes with −1, texts)."""
        import pyarrow

        arrow = {NUMBER: pyarrow.float64(), TEXT: encoded()}
        empty = True
        with self._explained(kinds):
            for batch in self._reader({name: arrow[kind] for name, kind in kinds.items()}):
                empty = empty and not batch.num_rows
                yield {name: decode(batch.column(k), MISSING) for k, name in enumerate(kinds)}
        pyarrow.default_memory_pool().release_unused()  # which it would keep for another file
        if empty:
            raise ValueError(f"{self.path} has a header and no rows")

    def _reader(self, types: Mapping[str, Any]) -> Any:
        """pyarrow's, of the columns that types names, or of all. It knows them by their numbers."""
        at = {name: str(k) for k, name in enumerate(self.names)}
        return self.csv.open_csv(
            self._bytes(),
            self.csv.ReadOptions(block_size=BLOCK, column_names=[*at.values()], skip_rows=self.begin),
            self.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            self.csv.ConvertOptions(
                column_types={at[name]: type_ for name, type_ in types.items()},
                include_columns=[at[name] for name in types],
                null_values=[*MISSING, *(f" {word}" for word in MISSING)],
                strings_can_be_null=True,
                decimal_point=self.point,
            ),
        )

    # where it is

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(self._bytes(), encoding="utf-8-sig", newline="")

    def _bytes(self) -> Any:
        import pyarrow

        return pyarrow.input_stream(str(self.path))  # unpacks .gz and the like

    def _records(self) -> Iterator[tuple[int, list[str], int]]:
        """All that are not empty, the header too, with their first and last line, counted from 1."""
        with self._open() as file:
            reader, line = csv.reader(file, delimiter=self.delimiter), 1
            for record in reader:
                if record:
                    yield line, record, reader.line_num
                line = reader.line_num + 1

    def _rows(self) -> Iterator[tuple[int, list[str], int]]:
        """The same without the header."""
        return itertools.islice(self._records(), int(self.header), None)

    def place(self, row: int) -> str:
        """Where a row is, counted from 0."""
        return f"line {next(itertools.islice(self._rows(), row, None))[0]}"

    def not_a_number(self, name: str) -> ValueError | None:
        """The error for the first value of a column that is no number."""
        k = self.names.index(name)
        for line, record, _ in self._rows():
            if k < len(record) and not self._is_number(record[k]):
                return ValueError(
                    f"{self.path}, line {line}, column '{name}': '{record[k]}' is no number; mend it, or "
                    f"train with --category '{name}', which takes the column as categories"
                )
        return None

    def mistaken(self, name: str, texts: Collection[str]) -> ValueError | None:
        """The same, if the different texts of that column are mostly numbers, and many."""
        numbers = sum(map(self._is_number, texts))
        return self.not_a_number(name) if numbers > max(MANY, MOSTLY * len(texts)) else None

    def _is_number(self, text: str) -> bool:
        return is_number(text.replace(self.point, "."))

    def _ragged(self) -> ValueError | None:
        """The error for the first row with more or fewer values than there are columns."""
        for line, record, _ in self._rows():
            if len(record) != len(self.names) > 0:
                found, expected = counted(len(record), "value"), counted(len(self.names), "column")
                return ValueError(f"{self.path}, line {line}: {found}, but the table has {expected}")
        return None

    def _not_utf8(self) -> ValueError | None:
        """The error for the first line that is not UTF-8."""
        with self._bytes() as file:
            for line, content in enumerate(io.BufferedReader(file), start=1):
                try:
                    content.decode()
                except UnicodeDecodeError as error:
                    byte = content[error.start]
                    return ValueError(
                        f"{self.path}, line {line}: byte {byte:#04x} is not UTF-8: save the file as UTF-8"
                    )
        return None

    @contextmanager
    def _explained(self, kinds: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
        """Say by the line what stopped pyarrow, which knows no lines: look for it in a slower way."""
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError, UnicodeDecodeError, csv.Error) as error:
            raise self._diagnose(kinds) or ValueError(f"{self.path}: {error}") from None
        except OSError as error:
            if error.errno:
                raise
            raise ValueError(f"{self.path} cannot be unpacked: {error}") from None

    def _diagnose(self, kinds: Mapping[str, str]) -> ValueError | None:
        """The first thing that is wrong, if it can be found."""
        numbers = (name for name, kind in kinds.items() if kind == NUMBER)
        looks: list[Callable[[], ValueError | None]] = [self._not_utf8, self._ragged]
        looks += [partial(self.not_a_number, name) for name in numbers]
        with suppress(csv.Error, OSError):
            return next((found for look in looks if (found := look())), None)
        return None


def is_number(text: str) -> bool:
    """Whether it is a number, or nothing at all."""
    try:
        return text.strip() in MISSING or ("_" not in text and not math.isnan(float(text)))
    except ValueError:
        return False
