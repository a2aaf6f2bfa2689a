"""Reading a table from a file of any kind, as a whole or as a model needs it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpunn.names import listed, near_match
from gpunn.tables.arrays import read_npy, read_npz
from gpunn.tables.csvfile import CsvFile
from gpunn.tables.parquetfile import ParquetFile
from gpunn.tables.table import TEXT, Column, Growing, Source, Table, Texts, is_far

CSV, PARQUET = (".csv", ".tsv", ".csv.gz", ".tsv.gz"), (".parquet", ".pq")
SUFFIXES = (*CSV, *PARQUET, ".npz", ".npy")
MOST = {"float32": (np.finfo(np.float32).max, "float32"), "float64": (1e150, "its square in float64")}


@dataclass(frozen=True)
class Format:
    """How a CSV file is to be read: see `CsvFile`; targets: of a .npy file, the .npy file with them."""

    delimiter: str | None = None
    header: bool | None = None
    targets: Path | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and len(self.delimiter.encode()) != 1:
            raise ValueError(f"the delimiter must be one ASCII character, not {self.delimiter!r}")


def is_table(name: str) -> bool:
    """Whether a file of that name is taken as a table."""
    return name.lower().endswith(SUFFIXES) and not Path(name).is_dir()


def open_table(path: Path, format: Format) -> Source:
    """The file, opened."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise ValueError(f"{path} is no table: its name should end in one of {', '.join(SUFFIXES)}")
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if format.targets and not name.endswith(".npy"):
        raise ValueError(f"{format.targets}: targets lie apart only from a .npy file, and {path} is none")
    if name.endswith(CSV):
        return CsvFile(path, format.delimiter, format.header)
    if name.endswith(PARQUET):
        return ParquetFile(path)
    return read_npz(path) if name.endswith(".npz") else read_npy(path, format.targets)


def fingerprint(path: Path, format: Format) -> str:
    """What tells the file from any other: a digest of its bytes, and of the targets beside it."""
    digest = hashlib.blake2b(digest_size=16)
    for part in filter(None, (path, format.targets)):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read(
    source: Source,
    kinds: Mapping[str, str],
    target: str | None,
    dtype: DTypeLike,
    origins: Mapping[str, float] | None = None,
) -> Table:
    """The columns that kinds names, in its order, and the target apart.

    origins: of columns of numbers, where they are known; else the first values decide.
    ValueError, in one line that names the file, the place and the column, for what is not as kinds says.
    """
    columns = {name: Column(name, Texts() if kind == TEXT else None) for name, kind in kinds.items()}
    names = [name for name in kinds if name != target]
    rows, y = Growing(len(names), dtype), Growing(1, np.float64)
    origin = dict(origins or {})
    for batch in source.batches(kinds):
        values = {name: _numbers(columns[name], batch[name]) for name in kinds}
        m = len(next(iter(values.values())))
        block = rows.add(m)
        with np.errstate(over="ignore"):
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


def _numbers(column: Column, values: Any) -> np.ndarray:
    """Values as the table holds them."""
    if column.texts is None:
        return values
    codes, texts = values
    return np.append(column.texts.encode(texts), np.nan)[codes]  # −1, for none, is the last


def _origin(column: Column, x: np.ndarray, dtype: np.dtype) -> float:
    """The middle one of these values where they are far from 0, as times and identifiers are; else 0.

    As a value of the column it leaves whole numbers whole.
    """
    if column.texts or dtype == np.float64:
        return 0.0
    finite = np.sort(x[np.isfinite(x)])
    middle = finite[len(finite) // 2]
    return float(middle) if is_far(middle, np.median(np.abs(finite - middle))) else 0.0


def _check_finite(
    source: Source, values: Mapping[str, np.ndarray], names: Sequence[str], block: np.ndarray, start: int
) -> None:
    most, what = MOST[block.dtype.name]
    beyond = np.abs(block) > most
    if not beyond.any():
        return
    i, j = np.argwhere(beyond)[0].tolist()
    where = f"{source.path}, {source.place(start + i)}, column '{names[j]}'"
    raise ValueError(f"{where}: {values[names[j]][i]:g} is not finite, or too large for {what}")


def refuse_mistaken(source: Source, columns: Iterable[Column]) -> None:
    """ValueError where what was read as texts is a column of numbers that something else came into."""
    for column in columns:
        if column.texts and (error := source.mistaken(column.name, column.texts.codes)):
            raise error


def check_columns(source: Source, wanted: Collection[str]) -> list[str]:
    """Which columns there are besides the wanted. ValueError where one is missing, with its near match."""
    missing = [name for name in wanted if name not in source.kinds]
    extra = [name for name in source.kinds if name not in wanted]
    if missing:
        lacks = listed([f"'{name}'" for name in missing])
        near = near_match(missing[0], extra)
        hint = f"; did you mean '{near}'? rename it" if near else ""
        raise ValueError(f"{source.path} lacks the column{'s' * (len(missing) > 1)} {lacks}{hint}")
    return extra
