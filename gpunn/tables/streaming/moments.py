"""Ranges, counts and moments that are gathered block by block."""

from __future__ import annotations

import numpy as np

from gpunn.tables.table import MOST_TEXTS


class Moments:
    """The missing values (n,) and the ranges (n,) of n columns."""

    def __init__(self, n: int) -> None:
        self.missing = np.zeros(n, np.intp)
        self.low, self.high = np.full(n, np.nan), np.full(n, np.nan)

    def add(self, rows: np.ndarray) -> None:
        """Take rows (m, n) into account."""
        if len(rows):
            self.missing += np.isnan(rows).sum(axis=0)
            self.low = np.fmin(self.low, np.fmin.reduce(rows))
            self.high = np.fmax(self.high, np.fmax.reduce(rows))


class TargetValues:
    """The values of a target.

    Attributes:
        values: the distinct values, in ascending order; `many` if there are more than are kept.
        counts: the number of rows, except for those to test on, that have each value.
        low, high: the smallest and the largest value with the number of their rows.
        m, mean, squares: of the values to train on, their number, mean, and Σ (y − mean)².
    """

    def __init__(self) -> None:
        self.values, self.counts, self.many = np.empty(0), np.empty(0, np.intp), False
        self.low, self.high = (np.inf, -1), (-np.inf, -1)
        self.m, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, y: np.ndarray, trained: np.ndarray, at: np.ndarray) -> None:
        """Take values (m,) into account. trained: which of them to train on; at: the numbers of the rows."""
        if not len(y):
            return
        if not self.many:
            self._count(y, trained)
        i, k = int(np.argmin(y)), int(np.argmax(y))
        self.low = min(self.low, (float(y[i]), int(at[i])))
        self.high = max(self.high, (float(y[k]), int(at[k])))
        self._measure(y[trained])

    def _count(self, y: np.ndarray, trained: np.ndarray) -> None:
        found, where = np.unique(y, return_inverse=True)
        values = np.union1d(self.values, found)
        if len(values) > MOST_TEXTS + 1:
            self.many, values = True, values[: MOST_TEXTS + 2]
            self.values, self.counts = values, np.zeros(len(values), np.intp)
            return
        counts = np.zeros(len(values), np.intp)
        counts[np.searchsorted(values, self.values)] = self.counts
        counts[np.searchsorted(values, found)] += np.bincount(where[trained], minlength=len(found))
        self.values, self.counts = values, counts

    def _measure(self, y: np.ndarray) -> None:
        """Merge the moments (Chan et al. 1979)."""
        if not len(y):
            return
        m, mean = len(y), float(y.mean())
        squares, apart = float(np.square(y - mean).sum()), mean - self.mean
        total = self.m + m
        self.squares += squares + apart**2 * self.m * m / total
        self.mean += apart * m / total
        self.m = total

    @property
    def deviation(self) -> float:
        """The standard deviation of the values to train on."""
        return float(np.sqrt(self.squares / max(self.m, 1)))
