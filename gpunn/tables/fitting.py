"""Fit imputation, scaling and bins to one column, quickly: scikit-learn's transformers cost 1 ms a call.

A column is fitted to its `Summary`, which comes from all its rows in memory or from a pass over files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpunn.tables.table import Column


@dataclass(frozen=True, eq=False)
class Summary:
    """A summary of a column, from which its preparation is fitted.

    Attributes:
        m: the number of rows.
        missing: the number of rows whose value is missing, or is a string that is not kept.
        present: the other values of a column of numbers in ascending order: all of them, or a sample that
            begins with the smallest and ends with the largest.
        counts: the number of rows of each string of a column of strings, by the string's code.
    """

    m: int
    missing: int
    present: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, column: Column, x: np.ndarray) -> Summary:
        """Summarise the values x (m,) of a column."""
        known = x[~np.isnan(x)]
        none = np.empty(0, x.dtype)
        if column.texts is None:
            return cls(len(x), len(x) - len(known), np.sort(known), none)
        counts = np.bincount(known.astype(np.intp), minlength=len(column.texts.codes))
        return cls(len(x), len(x) - len(known), none, counts)


def fill_of(present: np.ndarray, impute: str) -> float:
    """Return the median or the mean of the sorted numbers (m,), as `SimpleImputer` does."""
    return quantiles(present, 1).item() if impute == "median" else float(present.mean(dtype=np.float64))


def middle_and_scale(present: np.ndarray) -> tuple[float, float]:
    """Return the median of the sorted numbers (m,), and the distance between their quartiles.

    If the quartiles are equal, the scale is half the range, as in RealMLP (Holzmüller et al. 2024).
    """
    low, middle, high = quantiles(present, 3).tolist()
    return middle, high - low or (float(present[-1]) - float(present[0])) / 2


def edges_of(present: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges, in float64, of at most so many bins of the sorted numbers (m,).

    If there are few distinct numbers, these are the edges, and otherwise quantiles are. Two distinct numbers
    have no edges: they need no codes.
    """
    none = np.empty(0)
    if bins == 0:
        return none
    found = present[np.flatnonzero(np.diff(present, prepend=-np.inf))][: bins + 2].astype(np.float64)
    if len(found) > bins + 1:
        inner = quantiles(present, bins - 1)
        found = np.unique([present[0], *inner, present[-1]])
    return found if len(found) > 2 else none


def quantiles(present: np.ndarray, n: int) -> np.ndarray:
    """Return the n quantiles that divide the sorted numbers (m,) into n + 1 parts, in float64.

    Between two numbers they are interpolated, as `numpy.quantile` does.
    """
    places = np.arange(1, n + 1) / (n + 1) * (len(present) - 1)
    k = places.astype(np.intp)
    low = present[k].astype(np.float64)
    high = present[np.minimum(k + 1, len(present) - 1)].astype(np.float64)
    found: np.ndarray = low + (high - low) * (places - k)
    return found
