"""CSV files, read in blocks by pyarrow; a slower search finds the line of an error."""

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
from gpunn.tables.sources.arrow import decode, need_pyarrow, text_type
from gpunn.tables.table import NUMBER, TEXT, digest_of_files

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "<NA>")
DELIMITERS = ",;\t|"
DECIMAL, SNIFFED = re.compile(r"\s*[-+]?\d+([.,])\d+\s*"), 100  # rows
MANY, MOSTLY = 20, 0.9  # if more of a column's strings are numbers, the others are mistakes
BLOCK = 1 << 20  # bytes; the first block decides the columns' types


class CsvFile:
    """A CSV file in UTF-8, with or without a byte order mark, with any line ends, possibly gzipped.

    A single column without a name, such as pandas' index, is named "column 1" by its position.

    Args:
        path: the file.
        delimiter: one character; None detects the most frequent of , ; tab and | in the first line.
        header: whether the first line names the columns; None: unless it is all numbers. Columns of a file
            without a header are named "1", "2", ….

    Raises:
        ValueError: the file is malformed; the message is one line that names the file and, if possible, the
            line.
    """

    target: str | None = None

    def __init__(self, path: Path, delimiter: str | None = None, header: bool | None = None) -> None:
        self.path, self.name, self.csv = path, str(path), need_pyarrow(str(path), "csv")
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
        """Return the most frequent delimiter in the first line, outside of quotes."""
        with self._open() as file:
            line = next(line for line in file if line.strip())
        outside = "".join(line.split('"')[::2])
        return max(DELIMITERS, key=outside.count)

    def _sniff_point(self) -> str:
        """Return the decimal mark: a comma if numbers have commas but no points, and it is no delimiter."""
        rows = itertools.islice(self._rows(), SNIFFED)
        found = {match[1] for _, row, _ in rows for value in row if (match := DECIMAL.fullmatch(value))}
        return "," if found == {","} and self.delimiter != "," else "."

    @property
    def notes(self) -> list[str]:
        """Remarks on how the file is read."""
        unnamed = [] if self.header else [f"has no header: its columns are named 1 to {len(self.names)}"]
        return unnamed + (["has decimal commas"] if self.point == "," else [])

    def _check_names(self) -> None:
        hint = ", or use --no-header if the file has no header" if self.header else ""
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            named = f"are named '{name}'" if name else "have no name"
            raise ValueError(f"{self.path}: {times} columns {named}; rename them{hint}")

    def _infer(self) -> dict[str, str]:
        """Return NUMBER or TEXT for each column. Dates are TEXT; a column that is empty so far is NUMBER."""
        import pyarrow.types as types

        schema = self._reader({}).schema
        numbers = types.is_integer, types.is_floating, types.is_null
        kinds = [NUMBER if any(is_(field.type) for is_ in numbers) else TEXT for field in schema]
        return dict(zip(self.names, kinds, strict=True))

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        import pyarrow

        arrow = {NUMBER: pyarrow.float64(), TEXT: text_type()}
        empty = True
        with self._explained(kinds):
            for batch in self._reader({name: arrow[kind] for name, kind in kinds.items()}):
                empty = empty and not batch.num_rows
                yield {name: decode(batch.column(k), MISSING) for k, name in enumerate(kinds)}
        pyarrow.default_memory_pool().release_unused()  # pyarrow would keep it for the next file
        if empty:
            raise ValueError(f"{self.path} has a header but no rows")

    def _reader(self, types: Mapping[str, Any]) -> Any:
        """Return pyarrow's reader of the columns in `types`, or of all. It knows columns by position."""
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

    # finding the line

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(self._bytes(), encoding="utf-8-sig", newline="")

    def _bytes(self) -> Any:
        import pyarrow

        return pyarrow.input_stream(str(self.path))  # unpacks .gz and the like

    def _records(self) -> Iterator[tuple[int, list[str], int]]:
        """Yield (first line, values, last line) of each record that is not empty, the header included."""
        with self._open() as file:
            reader, line = csv.reader(file, delimiter=self.delimiter), 1
            for record in reader:
                if record:
                    yield line, record, reader.line_num
                line = reader.line_num + 1

    def _rows(self) -> Iterator[tuple[int, list[str], int]]:
        """Yield the records after the header."""
        return itertools.islice(self._records(), int(self.header), None)

    def place(self, row: int) -> str:
        return f"line {next(itertools.islice(self._rows(), row, None))[0]}"

    def fingerprint(self) -> str:
        return digest_of_files(self.path)

    def not_a_number(self, name: str) -> ValueError | None:
        """Return the error for the first value of a column that is not a number."""
        k = self.names.index(name)
        for line, record, _ in self._rows():
            if k < len(record) and not self._is_number(record[k]):
                return ValueError(
                    f"{self.path}, line {line}, column '{name}': '{record[k]}' is not a number; correct it, "
                    f"or train with --category '{name}' to treat the column as categories"
                )
        return None

    def mistaken(self, name: str, texts: Collection[str]) -> ValueError | None:
        """Return that error if the column's distinct strings are many and mostly numbers."""
        numbers = sum(map(self._is_number, texts))
        return self.not_a_number(name) if numbers > max(MANY, MOSTLY * len(texts)) else None

    def _is_number(self, text: str) -> bool:
        return is_number(text.replace(self.point, "."))

    def _ragged(self) -> ValueError | None:
        """Return the error for the first row that has more or fewer values than there are columns."""
        for line, record, _ in self._rows():
            if len(record) != len(self.names) > 0:
                found, expected = counted(len(record), "value"), counted(len(self.names), "column")
                return ValueError(f"{self.path}, line {line}: {found}, but the table has {expected}")
        return None

    def _not_utf8(self) -> ValueError | None:
        """Return the error for the first line that is not UTF-8."""
        with self._bytes() as file:
            for line, content in enumerate(io.BufferedReader(file), start=1):
                try:
                    content.decode()
                except UnicodeDecodeError as error:
                    byte = content[error.start]
                    return ValueError(
                        f"{self.path}, line {line}: byte {byte:#04x} is not UTF-8; save the file as UTF-8"
                    )
        return None

    @contextmanager
    def _explained(self, kinds: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
        """Replace an error of pyarrow, which does not count lines, by one that names the line."""
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError, UnicodeDecodeError, csv.Error) as error:
            raise self._diagnose(kinds) or ValueError(f"{self.path}: {error}") from None
        except OSError as error:
            if error.errno:
                raise
            raise ValueError(f"{self.path} cannot be decompressed: {error}") from None

    def _diagnose(self, kinds: Mapping[str, str]) -> ValueError | None:
        """Return the error for the first mistake in the file, if one is found."""
        numbers = (name for name, kind in kinds.items() if kind == NUMBER)
        checks: list[Callable[[], ValueError | None]] = [self._not_utf8, self._ragged]
        checks += [partial(self.not_a_number, name) for name in numbers]
        with suppress(csv.Error, OSError):
            return next((error for check in checks if (error := check())), None)
        return None


def is_number(text: str) -> bool:
    """Return whether a string is a number or a missing value."""
    try:
        return text.strip() in MISSING or ("_" not in text and not math.isnan(float(text)))
    except ValueError:
        return False
