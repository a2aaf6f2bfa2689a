"""Fit imputation, scaling and bins to one column, quickly: scikit-learn's transformers cost 1 ms a call."""

from __future__ import annotations

import numpy as np


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
