"""What a table is once it has been read: rows of numbers, in which categories are whole numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

NUMBER, TEXT = "number", "text"
FAR = 100  # times its spread from 0, a column loses 6e-6 of that spread as float32
TRUTHS = {"true": "True", "TRUE": "True", "false": "False", "FALSE": "False"}
MOST_TEXTS = 1000  # different ones in a column; more are names, not categories


@dataclass
class Texts:
    """The different texts of a column, numbered as they come; `many` once there are too many to be kept.

    Truth values are True and False, as Python has them, however a file spells them.
    """

    codes: dict[str, int] = field(default_factory=dict)
    many: bool = False

    def encode(self, texts: Iterable[str | None]) -> np.ndarray:
        """The number of each text; NaN for none, and for those that came too late."""
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
    """A column's name and what it holds: numbers, or texts.

    origin: what was subtracted from its numbers before they were rounded to the table's type.
    """

    name: str
    texts: Texts | None = None
    origin: float = 0.0

    @property
    def kind(self) -> str:
        return TEXT if self.texts else NUMBER


def number_text(value: float) -> str:
    """A number as a file would have it: 3, not 3.0, and as many digits as tell it from any other."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e17 else repr(float(value))


def is_far(middle: float, spread: float) -> bool:
    """Whether numbers lie so far from 0 that float32 would blur what tells them apart."""
    return abs(middle) > FAR * spread


class Source(Protocol):
    """A file with a table, opened: its columns and what each holds, its rows, and where a row is.

    notes: what to say of it.
    """

    path: Path
    kinds: dict[str, str]

    @property
    def notes(self) -> Sequence[str]: ...
    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]: ...
    def place(self, row: int) -> str: ...
    def mistaken(self, name: str, texts: Collection[str]) -> ValueError | None: ...


@dataclass(frozen=True, eq=False)
class Table:
    """rows (m, n_columns), row-major: numbers less their column's origin, the codes of texts, and NaN where
    there is nothing.

    target: its column and its m values in float64, if it was read. dropped: the columns that are
    not to be learnt from, and why.
    """

    source: Source
    columns: tuple[Column, ...]
    rows: np.ndarray
    target: Column | None = None
    y: np.ndarray | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.source.path

    def place(self, row: int) -> str:
        """Where in the file a row is, such as "line 7"."""
        return self.source.place(row)


class Growing:
    """An array (m, n) that rows are added to in place, so that it is never there twice."""

    def __init__(self, n: int, dtype: DTypeLike) -> None:
        self.array, self.m = np.empty((0, n), dtype), 0

    def add(self, rows: int) -> np.ndarray:
        """A view of that many more rows, for the caller to fill."""
        start, self.m = self.m, self.m + rows
        if self.m > len(self.array):
            room = max(self.m, int(1.25 * len(self.array)))
            self.array.resize((room, self.array.shape[1]), refcheck=False)
        return self.array[start : self.m]

    def done(self) -> np.ndarray:
        self.array.resize((self.m, self.array.shape[1]), refcheck=False)
        return self.array
