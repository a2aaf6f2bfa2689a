"""Read the rows of a table: numbers minus their column's origin, and codes of strings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

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

MOST = {"float32": (np.finfo(np.float32).max, "float32"), "float64": (1e150, "its square in float64")}


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

    The arguments are those of `Reader`, as are the errors.
    """
    reader = Reader(source, kinds, target, dtype, origins, spellings, missing)
    rows, y = Growing(len(reader.names), dtype), Growing(1, np.float64)
    for batch in source.batches(reader.wanted):
        values = reader.values(batch, rows.m)
        m = len(next(iter(values.values())))
        reader.write(values, rows.add(m), y.add(m)[:, 0], rows.m - m)
    return reader.table(rows.done(), y.done()[:, 0])


class Reader:
    """Turns batches of a source into rows of a table.

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

    def __init__(
        self,
        source: Source,
        kinds: Mapping[str, str],
        target: str | None,
        dtype: DTypeLike,
        origins: Mapping[str, float] | None = None,
        spellings: Mapping[str, Spelling] = MappingProxyType({}),
        missing: Collection[str] = (),
    ) -> None:
        self.source, self.kinds, self.target, self.dtype, self.missing = source, kinds, target, dtype, missing
        self.columns = {name: Column(name, Texts() if kind == TEXT else None) for name, kind in kinds.items()}
        numbers = [name for name, kind in kinds.items() if kind == NUMBER]
        self.spelt = {name: spellings[name] for name in numbers if name in spellings}
        self.names = [name for name in kinds if name != target]
        self.origin = dict(origins or {})

    @property
    def wanted(self) -> dict[str, str]:
        """The columns to ask the source for, and their kinds."""
        return {**self.kinds, **dict.fromkeys(self.spelt, TEXT)}

    def values(self, batch: dict[str, Any], start: int) -> dict[str, np.ndarray]:
        """Return the columns of a batch as numbers or codes. start: the number of its first row."""
        for name, spelling in self.spelt.items():
            batch[name] = _spelt(self.source, name, spelling, batch[name], self.missing, start)
        return {name: _numbers(self.columns[name], batch[name], self.missing) for name in self.kinds}

    def write(self, values: Mapping[str, np.ndarray], block: np.ndarray, y: np.ndarray, start: int) -> None:
        """Write values to the rows `block` (m, n) and to y (m,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            for j, name in enumerate(self.names):
                if name not in self.origin and np.isfinite(values[name]).any():
                    self.origin[name] = _origin(self.columns[name], values[name], block.dtype)
                np.subtract(values[name], self.origin.get(name, 0.0), out=block[:, j], casting="same_kind")
        _check_finite(self.source, values, self.names, block, start)
        if self.target is not None:
            y[:] = values[self.target]
            _check_finite(self.source, values, [self.target], y[:, None], start)

    def table(self, rows: np.ndarray, y: np.ndarray) -> Table:
        """Return the table of these rows (m, n) and targets (m,)."""
        found = tuple(replace(self.columns[name], origin=self.origin.get(name, 0.0)) for name in self.names)
        if self.target is None:
            return Table(self.source, found, rows)
        return Table(self.source, found, rows, self.columns[self.target], y)


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
