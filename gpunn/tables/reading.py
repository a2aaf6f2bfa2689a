"""Read a table into memory: all of it to train on, or the columns that a model needs."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpunn.names import listed, near_match
from gpunn.tables.sources.arrays import read_npy, read_npz
from gpunn.tables.sources.blanks import WHITESPACE
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.sources.files import PACKED, STDIN
from gpunn.tables.sources.frames import open_frame
from gpunn.tables.sources.parquet import ParquetFile
from gpunn.tables.sources.text import check_encoding
from gpunn.tables.spelling import Spelling
from gpunn.tables.table import (
    NUMBER,
    TEXT,
    Column,
    Growing,
    NotANumberError,
    Source,
    Table,
    Texts,
    is_far,
    quoted,
)

CSV, PARQUET = (".csv", ".tsv", ".tab", ".txt", ".data"), (".parquet", ".pq")
EXCEL, NOT_READ = (".xlsx", ".xlsm"), (".xls", ".xlsb", ".ods")
SUFFIXES = (*CSV, *PARQUET, EXCEL[0], ".npz", ".npy")
PACKED_CSV = tuple(f"{suffix}{packed}" for suffix in CSV for packed in PACKED)
IN_MEMORY = "data in memory"  # in place of the path of a table that was not read from a file
MOST = {"float32": (np.finfo(np.float32).max, "float32"), "float64": (1e150, "its square in float64")}


@dataclass(frozen=True)
class Format:
    """How to read a file.

    Attributes:
        delimiter, header, encoding: of a CSV file; None detects them. The delimiter is one character, or
            "whitespace" for runs of blanks.
        targets: the file of the targets beside a .npy file.
        missing: further words that stand for a missing value.
        sheet: the sheet of an Excel file; None for the first one.
    """

    delimiter: str | None = None
    header: bool | None = None
    targets: Path | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    sheet: str | None = None

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
    return is_stream(Path(name)) or (name.lower().endswith(suffixes) and not Path(name).is_dir())


def is_stream(path: Path) -> bool:
    """Return whether this is standard input or a pipe, as a shell makes for `<(command)`."""
    try:
        return str(path) == STDIN or path.is_fifo()
    except (OSError, ValueError):
        return False


def open_table(data: Any, format: Format) -> Source:
    """Open a file by its path, or a table in memory."""
    return open_file(Path(data), format) if is_path(data) else open_frame(data)


def is_path(data: Any) -> bool:
    """Return whether this is the path of a file, not data in memory."""
    return isinstance(data, str | os.PathLike)


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file, or "-" for what can be read only once."""
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


def read(
    source: Source,
    kinds: Mapping[str, str],
    target: str | None,
    dtype: DTypeLike,
    origins: Mapping[str, float] | None = None,
    spellings: Mapping[str, Spelling] = MappingProxyType({}),
    missing: Collection[str] = (),
) -> Table:
    """Read the columns of `kinds`, in its order, and separate the target.

    Args:
        source: the opened table.
        kinds: NUMBER or TEXT for each column to read.
        target: the target column, if it is to be read.
        dtype: of the rows.
        origins: the origins of columns of numbers, if they are known; otherwise the first batch decides.
        spellings: how to read the columns of numbers that the source has as strings.
        missing: further words that stand for a missing value.

    Raises:
        ValueError: a value does not fit its column's kind, or is not finite; the message names the place.
    """
    columns = {name: Column(name, Texts() if kind == TEXT else None) for name, kind in kinds.items()}
    spelt = {name: spellings[name] for name, kind in kinds.items() if kind == NUMBER and name in spellings}
    names = [name for name in kinds if name != target]
    rows, y = Growing(len(names), dtype), Growing(1, np.float64)
    origin = dict(origins or {})
    for batch in source.batches({**kinds, **dict.fromkeys(spelt, TEXT)}):
        for name, spelling in spelt.items():
            batch[name] = _spelt(source, name, spelling, batch[name], missing, rows.m)
        values = {name: _numbers(columns[name], batch[name], missing) for name in kinds}
        m = len(next(iter(values.values())))
        block = rows.add(m)
        with np.errstate(over="ignore", invalid="ignore"):
            for j, name in enumerate(names):
                if name not in origin and np.isfinite(values[name]).any():
                    origin[name] = _origin(columns[name], values[name], block.dtype)
                np.subtract(values[name], origin.get(name, 0.0), out=block[:, j], casting="same_kind")
        _check_finite(source, values, names, block, rows.m - m)
        if target is not None:
            y.add(m)[:, 0] = values[target]
            _check_finite(source, values, [target], y.array[y.m - m : y.m], y.m - m)
    found = tuple(replace(columns[name], origin=origin.get(name, 0.0)) for name in names)
    if target is None:
        return Table(source, found, rows.done())
    return Table(source, found, rows.done(), columns[target], y.done()[:, 0])


def _spelt(
    source: Source, name: str, spelling: Spelling, values: Any, missing: Collection[str], start: int
) -> np.ndarray:
    """Return the numbers of a batch of strings. start: the first row.

    Raises NotANumberError, with the place, for a string that is not a number in this spelling.
    """
    codes, texts = values
    numbers = [np.nan if not text or text in missing else spelling.number(text) for text in texts]
    wrong = np.flatnonzero(np.isin(codes, [k for k, number in enumerate(numbers) if number is None]))
    if len(wrong):
        i = int(wrong[0])
        raise NotANumberError(
            f"{source.name}, {source.place(start + i)}, column '{name}': {quoted(texts[codes[i]])} is not a "
            f"number written as in the table that was trained on ({spelling.describe()}); correct it",
            name,
        )
    return np.array([*numbers, np.nan], np.float64)[codes]  # −1, a missing value, is the last entry


def _numbers(column: Column, values: Any, missing: Collection[str]) -> np.ndarray:
    """Return a batch of a column as the table stores it: numbers, or codes of strings."""
    if column.texts is None:
        return values
    codes, texts = values
    if missing:
        texts = [None if text in missing else text for text in texts]
    return np.append(column.texts.encode(texts), np.nan)[codes]  # −1, a missing value, is the last entry


def _origin(column: Column, x: np.ndarray, dtype: np.dtype) -> float:
    """Return the middle value of a column far from 0, such as times or identifiers; otherwise 0.

    The middle value is one of the column's, so whole numbers stay whole when it is subtracted.
    """
    if column.texts or dtype == np.float64:
        return 0.0
    finite = np.sort(x[np.isfinite(x)])
    n = len(finite)
    middle = finite[n // 2]
    spread = np.sort(np.abs(finite - middle))
    median = (spread[(n - 1) // 2] + spread[n // 2]) / 2  # np.median takes 0.1 ms a call
    return float(middle) if is_far(middle, median) else 0.0


def _check_finite(
    source: Source, values: Mapping[str, np.ndarray], names: Sequence[str], block: np.ndarray, start: int
) -> None:
    """Raise ValueError, with the place, for a value that the dtype cannot hold."""
    most, what = MOST[block.dtype.name]
    beyond = np.abs(block) > most
    if not beyond.any():
        return
    i, j = np.argwhere(beyond)[0].tolist()
    where = f"{source.name}, {source.place(start + i)}, column '{names[j]}'"
    raise ValueError(f"{where}: {values[names[j]][i]:g} is not finite, or too large for {what}")


def check_columns(source: Source, wanted: Collection[str], target: str | None = None) -> None:
    """Raise ValueError if a wanted column is missing. target: one that cannot be done without."""
    missing = [name for name in wanted if name not in source.kinds]
    if missing:
        lacks = listed([f"'{name}'" for name in missing])
        near = near_match(missing[0], [name for name in source.kinds if name not in wanted])
        blank = "" if target in missing else "; add it, without values if they are unknown"
        hint = f"; did you mean '{near}'? rename it" if near else blank
        raise ValueError(f"{source.name} lacks the column{'s' * (len(missing) > 1)} {lacks}{hint}")
