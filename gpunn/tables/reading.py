"""Open a table: a file by its path, or data in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.names import listed, near_match
from gpunn.tables.sources import places
from gpunn.tables.sources.arrays import read_npy, read_npz
from gpunn.tables.sources.blanks import WHITESPACE
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.sources.dataset import ParquetFiles
from gpunn.tables.sources.files import PACKED, STDIN
from gpunn.tables.sources.frames import open_frame
from gpunn.tables.sources.parquet import ParquetFile
from gpunn.tables.sources.places import names_files
from gpunn.tables.sources.text import check_encoding
from gpunn.tables.table import Source

CSV, PARQUET = (".csv", ".tsv", ".tab", ".txt", ".data"), places.SUFFIXES
EXCEL, NOT_READ = (".xlsx", ".xlsm"), (".xls", ".xlsb", ".ods")
SUFFIXES = (*CSV, *PARQUET, EXCEL[0], ".npz", ".npy")
PACKED_CSV = tuple(f"{suffix}{packed}" for suffix in CSV for packed in PACKED)
IN_MEMORY = "data in memory"  # in place of the path of a table that was not read from a file


@dataclass(frozen=True)
class Format:
    """How to read a file.

    Attributes:
        delimiter, header, encoding: of a CSV file; None detects them. The delimiter is one character, or
            "whitespace" for runs of blanks.
        targets: the file of the targets beside a .npy file.
        missing: further words that stand for a missing value.
        sheet: the sheet of an Excel file; None for the first one.
        memory: the size that Parquet files may take in memory, such as "2G"; None for half of what is free.
    """

    delimiter: str | None = None
    header: bool | None = None
    targets: Path | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    sheet: str | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter not in (None, WHITESPACE) and len(self.delimiter.encode()) != 1:
            raise ValueError(
                f"the delimiter must be one ASCII character or 'whitespace', not {self.delimiter!r}"
            )
        if self.encoding is not None:
            check_encoding(self.encoding)


def is_table(name: str) -> bool:
    """Return whether a file of this name is read as a table. Pipes are, whatever their names."""
    suffixes = *SUFFIXES, *PACKED_CSV, *EXCEL, *NOT_READ
    if is_stream(Path(name)) or (name.lower().endswith(suffixes) and not Path(name).is_dir()):
        return True
    return names_files(name)


def is_stream(path: Path) -> bool:
    """Return whether this is standard input or a pipe, as a shell makes for `<(command)`."""
    try:
        return str(path) == STDIN or path.is_fifo()
    except (OSError, ValueError):
        return False


def open_table(data: Any, format: Format) -> Source:
    """Open a file by its path, Parquet files by their places, or a table in memory."""
    data = as_place(data)
    if is_path(data) and names_files(str(data)):
        return ParquetFiles(str(data))
    return open_file(Path(data), format) if is_path(data) else open_frame(data)


def as_place(data: Any) -> Any:
    """Return several paths as one string, and anything else as it is."""
    several = isinstance(data, list | tuple) and data and all(map(is_path, data))
    return places.join(data) if several else data


def holds_files(data: Any) -> bool:
    """Return whether this names Parquet files."""
    if not is_path(data):
        return False
    return names_files(str(data)) or (str(data).lower().endswith(PARQUET) and Path(data).is_file())


def open_files(data: Any) -> ParquetFiles:
    """Open Parquet files, one or several. Raises ValueError for anything else."""
    if not holds_files(data):
        what = data if is_path(data) else IN_MEMORY
        raise ValueError(f"--memory is for Parquet files, which can be read in parts, not for {what}")
    return ParquetFiles(str(data))


def is_path(data: Any) -> bool:
    """Return whether this is the path of a file, not data in memory."""
    return isinstance(data, str | os.PathLike)


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file, or "-" for what can be read only once."""
    if names_files(str(path)):
        return places.absolute(str(path))
    return STDIN if is_stream(Path(path)) else str(Path(path).absolute())


def open_file(path: Path, format: Format) -> Source:
    """Open a file of the kind that its suffix says. "-" is a CSV file on standard input, as are pipes.

    Raises ValueError for other files.
    """
    name = path.name.lower()
    if not (streamed := is_stream(path)):
        _check_file(path)
    if format.targets and not name.endswith(".npy"):
        raise ValueError(f"{format.targets}: only a .npy file has its targets in another file, not {path}")
    if streamed or name.endswith((*CSV, *PACKED_CSV)):
        return CsvFile(path, format.delimiter, format.header, format.encoding, format.missing)
    if name.endswith(EXCEL):
        from gpunn.tables.sources.excel import ExcelFile

        return ExcelFile(path, format.sheet, format.header, format.missing)
    if name.endswith(PARQUET):
        return ParquetFile(path)
    return read_npz(path) if name.endswith(".npz") else read_npy(path, format.targets)


def _check_file(path: Path) -> None:
    """Raise ValueError unless this is a file, and its name one of a table."""
    if path.name.lower().endswith(NOT_READ):
        raise ValueError(f"{path} is a spreadsheet of a kind that is not read: save it as .xlsx or .csv")
    if not path.name.lower().endswith((*SUFFIXES, *PACKED_CSV, *EXCEL)):
        raise ValueError(f"{path} is not a table: the name must end in one of {', '.join(SUFFIXES)}")
    try:
        str(path).encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError:
        raise ValueError(f"{str(path)!r}: the file's name is not UTF-8; rename it") from None
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a file")


def check_columns(source: Source, wanted: Collection[str], target: str | None = None) -> None:
    """Raise ValueError if a wanted column is missing. target: one that cannot be done without."""
    missing = [name for name in wanted if name not in source.kinds]
    if missing:
        lacks = listed([f"'{name}'" for name in missing])
        near = near_match(missing[0], [name for name in source.kinds if name not in wanted])
        blank = "" if target in missing else "; add it, without values if they are unknown"
        hint = f"; did you mean '{near}'? rename it" if near else blank
        raise ValueError(f"{source.name} lacks the column{'s' * (len(missing) > 1)} {lacks}{hint}")
