"""CSV files, read in blocks by pyarrow; a slower search finds the line of an error."""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpunn.names import counted
from gpunn.tables.sources.arrow import decode, need_pyarrow, text_type
from gpunn.tables.sources.blanks import with_tabs
from gpunn.tables.sources.dialect import (
    first_lines,
    first_name,
    first_records,
    sniff,
    surplus,
    without_comments,
)
from gpunn.tables.sources.files import ByteFile
from gpunn.tables.sources.header import describe_data, is_header, name_nameless, sniff_point
from gpunn.tables.sources.records import Record, lines_of, records_of
from gpunn.tables.sources.rows import Cleaner, Stream, after
from gpunn.tables.sources.text import BLOCK, TextFile
from gpunn.tables.spelling import Evidence, is_written_number
from gpunn.tables.table import MOST_COLUMNS, NUMBER, TEXT, NotANumberError, digest_of

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "<NA>")
IN_A_BLOCK, LARGEST_BLOCK = 32, 32 << 20  # long rows, and bytes; the first block decides the columns' types


class CsvFile:
    """A CSV file of any encoding and with any line ends, possibly packed by gzip, bzip2, xz or zip.

    Rows that hold only delimiters are left out, as are lines that begin with # and have not a value for each
    column. A column without a name, such as pandas' index, is named "column 1" by its position; R's column of
    row names has no place in the header at all. Of several columns without a name, only one may have values.

    Args:
        path: the file, or "-" for standard input.
        delimiter: one character, or "whitespace" for runs of blanks; None detects whitespace, or the most
            frequent of , ; tab and | in the first line.
        header: whether the first line names the columns; None detects it (`is_header`). Columns of a file
            without a header are named "1", "2", ….
        encoding: the encoding; None detects UTF-8, UTF-16 and UTF-32 by a byte order mark, and cp1252.
        missing: further words that stand for a missing value.

    Raises:
        ValueError: the file is malformed; the message is one line that names the file and, if possible, the
            line.
    """

    target: str | None = None
    point: str | None
    header: bool | None
    unit = "line"

    def __init__(
        self,
        path: Path,
        delimiter: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        missing: Collection[str] = (),
    ) -> None:
        self.missing = (*MISSING, *missing)
        self.csv, self.file = need_pyarrow(str(path), "csv"), self._open(path)
        self.path, self.name = path, self.file.name
        self.text = TextFile(self.name, self.file.open, encoding)
        self.skipped, self.names, self.begin, self._closed = Counter[str](), list[str](), 0, False
        records = self._sniff(delimiter)
        first = records[0].values
        rows = [record.values for record in records[1:]]
        self.nameless = surplus(records, fewest=1 if self.dialect.aligned else 2)
        self.header, self.note = self._find_header(first, rows, bool(self.nameless), header)
        self.names = [name.strip() for name in first]
        self.begin = records[0].last
        if self.header:
            self._name_surplus()
        else:
            self.names, self.begin = [str(k) for k in range(1, len(first) + 1)], records[0].line - 1
        name_nameless(self.name, self.names, rows)
        self._check_names()
        with self._explained():
            sampled = (record.values for record in first_records(self._rows()))
            self.point = self.mark = sniff_point(sampled, self.delimiter)
            self.kinds = self._infer()

    def _open(self, path: Path) -> ByteFile:
        return ByteFile(path)

    def _sniff(self, delimiter: str | None) -> Sequence[Record]:
        """Find the dialect, and return the first records: the header, if there is one, and rows."""
        head = list(first_lines(lines_of(self.text.blocks())))
        if not head:
            raise ValueError(f"{self.name} is empty")
        self.dialect = sniff(head, delimiter)
        self.delimiter, self.begin = self.dialect.delimiter, self.dialect.before
        self.block = min(max(BLOCK, IN_A_BLOCK * max(len(line) for _, line in head)), LARGEST_BLOCK)
        found = first_records(self._rows())
        if not found:
            raise ValueError(f"{self.name} has no rows")
        records = without_comments(found, is_number)
        if (n := len(records[0].values)) > MOST_COLUMNS:
            raise ValueError(f"{self.name} has {n:,} columns; at most {MOST_COLUMNS:,} can be read")
        return records

    def _name_surplus(self) -> None:
        """Complete the names of a header: R's has no name for the row names, and numpy.savetxt's a #."""
        self.names[0] = first_name(self.names[0])
        if self.nameless:
            self.names.insert(0 if self.nameless == "first" else len(self.names), "")

    def _find_header(
        self, first: list[str], rows: Sequence[Sequence[str]], named_rows: bool, header: bool | None
    ) -> tuple[bool, str]:
        """Return whether the first line names the columns, and the remark on it."""
        if header is not None:
            return header, "" if header else f"has no header: its columns are named 1 to {len(first)}"
        found = named_rows or is_header(first, rows, is_written_number)
        if found is None:
            return True, "has only text: its first line is taken to name the columns; if not, use --no-header"
        return found, "" if found else describe_data(first, " " if self.dialect.aligned else self.delimiter)

    @property
    def notes(self) -> list[str]:
        """Remarks on how the file is read."""
        notes = [self.note] if self.note else []
        if self.text.note and not self.text.guessed:
            notes.append(self.text.note)
        if self.dialect.aligned:
            notes.append("has columns separated by blanks")
        if self.dialect.quote != '"':
            notes.append("has single quotes around values")
        if self.header and self.nameless == "first":
            notes.append("has one name fewer than columns: the first column is named 'column 1'")
        return [*notes, *(["has decimal commas"] if self.point == "," else []), *self.cautions]

    @property
    def cautions(self) -> list[str]:
        """The notes that matter whenever a table is read: a guessed encoding, and rows that were left out."""
        left_out = [f"has {counted(n, what)}, left out" for what, n in self.skipped.items() if n]
        return [self.text.note, *left_out] if self.text.guessed else left_out

    def _check_names(self) -> None:
        hint = ", or use --no-header if the file has no header" if self.header else ""
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            raise ValueError(f"{self.name}: {times:,} columns are named '{name}'; rename them{hint}")

    def _infer(self) -> dict[str, str]:
        """Return NUMBER or TEXT for each column. Dates are TEXT; a column that is empty so far is NUMBER."""
        import pyarrow.types as types

        if next(self._rows(), None) is None:
            raise ValueError(f"{self.name} has a header but no rows")
        schema = self._reader({}).schema
        numbers = types.is_integer, types.is_floating, types.is_null
        kinds = [NUMBER if any(is_(field.type) for is_ in numbers) else TEXT for field in schema]
        return dict(zip(self.names, kinds, strict=True))

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        import pyarrow

        arrow = {NUMBER: pyarrow.float64(), TEXT: text_type()}
        with self._explained(kinds):
            for batch in self._reader({name: arrow[kind] for name, kind in kinds.items()}):
                yield {name: decode(batch.column(k), self.missing) for k, name in enumerate(kinds)}
        pyarrow.default_memory_pool().release_unused()  # pyarrow would keep it for the next file

    def _reader(self, types: Mapping[str, Any]) -> Any:
        """Return pyarrow's reader of the columns in `types`, or of all. It knows columns by position."""
        at = {name: str(k) for k, name in enumerate(self.names)}
        return self.csv.open_csv(
            io.BufferedReader(Stream(after(self._blocks(whole=True), self.begin)), self.block),
            self.csv.ReadOptions(block_size=self.block, column_names=[*at.values()]),
            self.csv.ParseOptions(
                delimiter=self.delimiter, quote_char=self.dialect.quote, newlines_in_values=True
            ),
            self.csv.ConvertOptions(
                column_types={at[name]: type_ for name, type_ in types.items()},
                include_columns=[at[name] for name in types],
                null_values=[*self.missing, *(f" {word}" for word in self.missing)],
                strings_can_be_null=True,
                decimal_point=self.mark,
            ),
        )

    # finding the line

    def _blocks(self, whole: bool = False) -> Iterator[bytes]:
        """Yield the text without comments and empty rows. whole: it is read to its end, not searched."""
        cleaner = Cleaner(self.name, self.dialect, len(self.names))
        blocks = self.text.blocks()
        yield from cleaner.clean(with_tabs(blocks, self.dialect.quote) if self.dialect.aligned else blocks)
        if whole:
            self.skipped = cleaner.found
            if cleaner.odd and not self._closed:
                for _ in self._records():  # raises ValueError if a quote is never closed
                    pass
                self._closed = True

    def _records(self) -> Iterator[Record]:
        """Yield each record that is not empty, the header included."""
        return records_of(self.name, self._blocks(), self.delimiter, self.dialect.quote, self.block)

    def _rows(self) -> Iterator[Record]:
        """Yield the records after the header."""
        return (record for record in self._records() if record.line > self.begin)

    def place(self, row: int) -> str:
        return f"{self.unit} {next(itertools.islice(self._rows(), row, None)).line}"

    def fingerprint(self) -> str:
        with self.file.raw() as file:
            return digest_of(file)

    def not_a_number(self, name: str) -> ValueError | None:
        """Return the error for the first value of a column that is not a number."""
        found = self._first(name, lambda text: is_number(text.replace(self.mark, ".")))
        return NotANumberError.at(self.name, *found, name) if found else None

    def odd_one(self, name: str) -> tuple[str, str] | None:
        return self._first(name, Evidence().fits)

    def _first(self, name: str, fits: Callable[[str], bool]) -> tuple[str, str] | None:
        """Return the place and the text of the first value of a column that does not fit."""
        k = self.names.index(name)
        for line, record, _ in self._rows():
            if k < len(record) and (text := record[k].strip()) not in self.missing and not fits(text):
                return f"{self.unit} {line}", text
        return None

    def _ragged(self) -> ValueError | None:
        """Return the error for the first row that has more or fewer values than there are columns."""
        for line, record, _ in self._rows():
            if len(record) != len(self.names) > 0:
                found, expected = counted(len(record), "value"), counted(len(self.names), "column")
                return ValueError(f"{self.name}, {self.unit} {line}: {found}, but the table has {expected}")
        return None

    @contextmanager
    def _explained(self, kinds: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
        """Replace an error of pyarrow, which does not count lines, by one that names the line."""
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
            raise self._diagnose(kinds) or ValueError(f"{self.name}: {error}") from None

    def _diagnose(self, kinds: Mapping[str, str]) -> ValueError | None:
        """Return the error for the first mistake in the file, if one is found."""
        numbers = (name for name, kind in kinds.items() if kind == NUMBER)
        checks: list[Callable[[], ValueError | None]] = [self._ragged]
        checks += [partial(self.not_a_number, name) for name in numbers]
        return next((error for check in checks if (error := check())), None)


def is_number(text: str) -> bool:
    """Return whether a string is a number or a missing value."""
    try:
        return text.strip() in MISSING or ("_" not in text and not math.isnan(float(text)))
    except ValueError:
        return False
