"""Imputation and standardisation of one column, bitwise as scikit-learn's, which costs 1 ms a call."""

from __future__ import annotations

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)


def fill_of(x: np.ndarray, impute: str) -> float:
    """Return the median or the mean of x (m,) without NaN, as `SimpleImputer` computes it in x's dtype."""
    missing = np.isnan(x)
    if impute == "mean":
        return float(np.where(missing, 0, x).sum() / np.float64(len(x) - np.count_nonzero(missing)))
    present = np.sort(x[~missing])
    low, high = present[(len(present) - 1) // 2], present[len(present) // 2]
    with np.errstate(over="ignore"):
        middle = float((low + high) / 2)
    return middle if np.isfinite(middle) else float(low / 2 + high / 2)


def mean_and_scale(x: np.ndarray) -> tuple[float, float]:
    """Return the mean of x (m,) and its standard deviation, as `StandardScaler` computes them in float64.

    The variance has the correction of Chan, Golub and LeVeque (1983). The scale of an x that is constant up
    to rounding is 1.
    """
    m = len(x)
    mean = x.sum(dtype=np.float64) / m
    deviation = x - mean
    correction = deviation.sum()
    deviation **= 2
    variance = (deviation.sum() - correction**2 / m) / m
    constant = variance <= m * EPSILON * variance + (m * mean * EPSILON) ** 2
    return float(mean), 1.0 if constant else float(np.sqrt(variance))
