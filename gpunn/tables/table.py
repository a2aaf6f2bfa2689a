"""A table in memory: rows of numbers, in which categories are whole-number codes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from gpunn.tables.spelling import Spelling

NUMBER, TEXT = "number", "text"
MOMENT = "moment"  # of columns that are known to hold dates
FAR = 100  # if |mean| / spread is larger, rounding to float32 costs more than 6e-6 of the spread
TRUTHS = {"true": "True", "TRUE": "True", "false": "False", "FALSE": "False"}
LONGEST = 60  # characters of a value in a message
MOST_COLUMNS = 1_000_000
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


def quoted(text: str) -> str:
    """Quote a value for a message: shortened, and on one line."""
    return f"'{text}'" if text.isprintable() and len(text) <= LONGEST else repr(text[:LONGEST])


def is_far(middle: float, spread: float) -> bool:
    """Return whether numbers are so far from 0 that float32 would blur their differences."""
    return abs(middle) > FAR * spread


class NotANumberError(ValueError):
    """Reading failed because a value of `column`, a column of numbers, is not a number."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column

    @classmethod
    def at(cls, source: str, place: str, text: str, column: str) -> NotANumberError:
        """Make the error for a text at a place of a source that was to train on."""
        return cls(
            f"{source}, {place}, column '{column}': {quoted(text)} is not a number; correct it, or train "
            f"with --missing {quoted(text)} if it stands for a missing value, or with "
            f"--categorical '{column}' to treat the column as categories",
            column,
        )


class Source(Protocol):
    """An opened table: a file, arrays or a DataFrame.

    Attributes:
        name: what messages call it, such as the file's path.
        kinds: NUMBER or TEXT for each column.
        target: the target column if none is named, for kinds of data that have a usual one.
        point: the decimal mark of the numbers; None if the data have types, so that strings are strings.
        header: whether the first line names the columns; None if there are always names.
        notes: remarks on how the data are read, for the user.
        cautions: the notes that matter whenever a table is read, such as rows that were left out.
    """

    name: str
    kinds: dict[str, str]
    target: str | None = None
    point: str | None = None
    header: bool | None = None

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def cautions(self) -> Sequence[str]: ...

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the columns of `kinds` in batches of rows: floats with NaN, or (codes with −1, strings)."""

    def place(self, row: int) -> str:
        """Say where a row is, counted from 0: "line 7"."""

    def odd_one(self, name: str) -> tuple[str, str] | None:
        """Return the place and the text of the first value that is not a number written like those above it.

        None if there is no such value, or if the data have types.
        """

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
        spellings: how the numbers are written in the columns that the source has as strings.
        kept (m,): the rows of the source, counted from 0; None for all of them.
        notes: remarks on how the data were read, for the user.
    """

    source: Source
    columns: tuple[Column, ...]
    rows: np.ndarray
    target: Column | None = None
    y: np.ndarray | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    spellings: Mapping[str, Spelling] = field(default_factory=dict)
    kept: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.source.name

    def place(self, row: int) -> str:
        """Say where in the data a row is, such as "line 7"."""
        return self.source.place(row if self.kept is None else int(self.kept[row]))


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


def check_unique(source: str, names: Sequence[str]) -> None:
    """Raise ValueError if two columns have one name."""
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise ValueError(f"{source}: {times:,} columns are named '{name}'; rename them")


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
