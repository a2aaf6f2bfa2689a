"""A table in memory: rows of numbers, in which categories are whole-number codes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

NUMBER, TEXT = "number", "text"
FAR = 100  # if |mean| / spread is larger, rounding to float32 costs more than 6e-6 of the spread
TRUTHS = {"true": "True", "TRUE": "True", "false": "False", "FALSE": "False"}
MOST_TEXTS = 1000  # distinct strings in a column; more are names, not categories


@dataclass
class Texts:
    """The distinct strings of a column, numbered in order of appearance.

    Truth values become "True" and "False", as in Python, however the data spell them.

    Attributes:
        codes: the number of each string.
        many: whether there were more strings than are kept.
    """

    codes: dict[str, int] = field(default_factory=dict)
    many: bool = False

    def encode(self, texts: Iterable[str | None]) -> np.ndarray:
        """Return the code of each string; NaN for missing values and for strings that are not kept."""
        return np.array([self._code(text) for text in texts], np.float64)

    def _code(self, text: str | None) -> float:
        if text is None:
            return np.nan
        text = TRUTHS.get(text, text)
        if text not in self.codes:
            if len(self.codes) == MOST_TEXTS:
                self.many = True
                return np.nan
            self.codes[text] = len(self.codes)
        return self.codes[text]


@dataclass(frozen=True)
class Column:
    """A column of numbers, or of strings.

    Attributes:
        name: the column's name.
        texts: the strings of a column of strings; None for numbers.
        origin: subtracted from the numbers before they were rounded to the table's dtype.
    """

    name: str
    texts: Texts | None = None
    origin: float = 0.0

    @property
    def kind(self) -> str:
        return TEXT if self.texts else NUMBER


def number_text(value: float) -> str:
    """Format a number as a file would: 3 rather than 3.0, with as many digits as it takes to read it back."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e17 else repr(float(value))


def is_far(middle: float, spread: float) -> bool:
    """Return whether numbers are so far from 0 that float32 would blur their differences."""
    return abs(middle) > FAR * spread


class Source(Protocol):
    """An opened table: a file, arrays or a DataFrame.

    Attributes:
        name: what messages call it, such as the file's path.
        kinds: NUMBER or TEXT for each column.
        target: the target column if none is named, for kinds of data that have a usual one.
        notes: remarks on how the data are read, for the user.
    """

    name: str
    kinds: dict[str, str]
    target: str | None = None

    @property
    def notes(self) -> Sequence[str]: ...

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the columns of `kinds` in batches of rows: floats with NaN, or (codes with −1, strings)."""

    def place(self, row: int) -> str:
        """Say where a row is, counted from 0: "line 7"."""

    def mistaken(self, name: str, texts: Collection[str]) -> ValueError | None:
        """Return the error for a column that was read as strings although most of it is numbers."""

    def fingerprint(self) -> str:
        """Return a digest that changes with the data."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table in memory.

    Attributes:
        source: what it was read from.
        columns: the columns, without the target.
        rows (m, n_columns): row-major; numbers minus their column's origin, codes of strings, NaN if missing.
        target: the target column, if it was read.
        y (m,): the target's values in float64, if it was read.
        dropped: the columns not to learn from, with the reasons.
    """

    source: Source
    columns: tuple[Column, ...]
    rows: np.ndarray
    target: Column | None = None
    y: np.ndarray | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.name

    def place(self, row: int) -> str:
        """Say where in the data a row is, such as "line 7"."""
        return self.source.place(row)


class Growing:
    """An array (m, n) that rows are added to in place, so that it is never in memory twice."""

    def __init__(self, n: int, dtype: DTypeLike) -> None:
        self.array, self.m = np.empty((0, n), dtype), 0

    def add(self, rows: int) -> np.ndarray:
        """Return a view of this many new rows, for the caller to fill."""
        start, self.m = self.m, self.m + rows
        if self.m > len(self.array):
            room = max(self.m, int(1.25 * len(self.array)))
            self.array.resize((room, self.array.shape[1]), refcheck=False)
        return self.array[start : self.m]

    def done(self) -> np.ndarray:
        """Return the array, without spare rows."""
        self.array.resize((self.m, self.array.shape[1]), refcheck=False)
        return self.array


def digest_of_files(*paths: Path) -> str:
    """Return a digest of the files' bytes."""
    with ExitStack() as stack:
        return digest_of(*(stack.enter_context(path.open("rb")) for path in paths))


def digest_of(*files: IO[bytes]) -> str:
    """Return a digest of the bytes of open files."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
