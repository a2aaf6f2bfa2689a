"""Excel files (.xlsx): a sheet, rewritten as a CSV file, so that both are read in the same way."""

from __future__ import annotations

import csv
import datetime
import importlib
import io
import tempfile
import warnings
import weakref
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gpunn.names import one_line, unknown
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.sources.files import ByteFile, Shared

ROWS, COLUMNS = 1 << 20, 1 << 14  # Excel's own limits
STRINGS, CELLS = 256 << 20, 2 << 30  # bytes: of everything but the cells, which is in memory; of a sheet
EXPANSION, ALWAYS = 100, 64 << 20  # a file unpacks to up to 100 times its size; to 64 MiB in any case


class ExcelFile(CsvFile):
    """A sheet of an Excel file.

    Args:
        path: the file.
        sheet: the name of the sheet; None for the first one.
        header: whether the first row names the columns; None detects it.
        missing: further words that stand for a missing value.

    Raises:
        ValueError: openpyxl is not installed, or the file is damaged; the message names the file.
    """

    unit = "row"

    def __init__(
        self,
        path: Path,
        sheet: str | None = None,
        header: bool | None = None,
        missing: Collection[str] = (),
    ) -> None:
        self.sheet = sheet
        super().__init__(path, ",", header, "utf-8", missing)

    def _open(self, path: Path) -> ByteFile:
        return SheetFile(path, self.sheet)


class SheetFile(ByteFile):
    """A sheet as the bytes of a CSV file, with a line for each row."""

    def __init__(self, path: Path, sheet: str | None) -> None:
        openpyxl = _need_openpyxl(path)
        self.path, self.name = path, str(path)
        self._csv = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._csv.close)
        with _explained(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and the like, which are not read
            _check_size(path)
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                names = [page.title for page in book.worksheets]
                if sheet is not None and sheet not in names:
                    raise ValueError(f"{path}: {unknown(sheet, 'sheet', names)}")
                page = book.worksheets[0 if sheet is None else names.index(sheet)]
                page.reset_dimensions()
                _write(page.iter_rows(max_row=ROWS, values_only=True), self._csv)
            finally:
                book.close()

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        with io.BufferedReader(Shared(self._csv)) as file:
            yield file

    def raw(self) -> IO[bytes]:
        return self.path.open("rb")


def _need_openpyxl(path: Path) -> Any:
    try:
        return importlib.import_module("openpyxl")
    except ImportError:
        raise ValueError(f'{path}: reading Excel files needs openpyxl: pip install "gpunn[excel]"') from None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Name the file in errors about its content, which are of many kinds."""
    try:
        yield
    except Exception as error:
        if (isinstance(error, OSError) and error.filename) or str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is not a readable Excel file: {one_line(error)}") from None


def _check_size(path: Path) -> None:
    """Raise ValueError if a small file unpacks to very much."""
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    total = sum(sizes.values())
    strings = sum(size for name, size in sizes.items() if not name.startswith("xl/worksheets/"))
    if strings > STRINGS or total > min(CELLS, max(ALWAYS, EXPANSION * path.stat().st_size)):
        raise ValueError(f"it unpacks to {total:,} bytes; save the sheet as a CSV file")


def _write(rows: Iterable[Sequence[Any]], file: IO[bytes]) -> None:
    """Write the rows as CSV. Each has as many values as the first one, unless it has more."""
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="", write_through=True)
    writer, n = csv.writer(text, lineterminator="\n"), 0
    for row in rows:
        values = [_in_csv(value) for value in row[:COLUMNS]]
        while len(values) > n and not values[-1]:
            values.pop()
        n = n or len(values)
        if any(values):
            writer.writerow(values + [""] * (n - len(values)))
        else:
            text.write("\n")
        if file.tell() > CELLS:
            raise ValueError("the sheet is too large; save it as a CSV file")
    text.detach()


def _in_csv(value: Any) -> str:
    """Return the value of a cell as a CSV file would have it."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return " ".join(value.splitlines()) if isinstance(value, str) else str(value)
