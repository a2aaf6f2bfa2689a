"""Checked data with examples as rows, as in scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from gpunn.core.inputs import dense, on_device


@dataclass(frozen=True)
class Rows:
    """Examples as rows, with their targets and weights.

    Attributes:
        X: (m, n_features), dense or CSR.
        y: (m,) or (m, n_outputs), as the user gave it.
        targets: y as `Network.fit` takes it.
        sample_weight: (m,), as the user gave it.
        weights: (m,), sample_weight times the class weights.
    """

    X: Any
    y: np.ndarray
    targets: np.ndarray
    sample_weight: np.ndarray | None = None
    weights: np.ndarray | None = None

    @property
    def m(self) -> int:
        return int(self.X.shape[0])

    def mean_weight(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Return the mean weight of these rows. Raises ValueError if it is 0."""
        if self.weights is None:
            return 1.0
        mean = float(np.mean(self.weights[rows]))
        if not mean > 0:
            raise ValueError("sample_weight and class_weight give every example a weight of zero")
        return mean

    def relative_weights(self, mean: float) -> np.ndarray | None:
        """Return the weights as multiples of their mean, so that losses average over the sum of weights."""
        return None if self.weights is None else self.weights / mean

    def subset(self, rows: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """Return X, y and sample_weight of these rows."""
        return self.X[rows], self.y[rows], None if self.sample_weight is None else self.sample_weight[rows]


def quickly_checked(X: Any, dtypes: Sequence[Any], n_features: int) -> np.ndarray | None:
    """Return X in one of these dtypes if it is plainly a finite array (m, n_features); None if in doubt."""
    if type(X) is not np.ndarray or X.dtype.kind != "f" or X.ndim != 2:
        return None
    if len(X) == 0 or X.shape[1] != n_features:
        return None
    with np.errstate(all="ignore"):
        converted = X if X.dtype in dtypes else X.astype(dtypes[0])
        return converted if np.isfinite(converted.sum()) else None


def check_device_X(X: Any, dtypes: Any) -> Any:
    """Return a CuPy X (m, n) in one of these dtypes, checked on its device; `Network` checks its values."""
    if X.ndim != 2:
        raise ValueError(f"X must have shape (m, n_features), not {X.shape}")
    dtypes = np.atleast_1d(dtypes)
    return X if X.dtype in dtypes else X.astype(dtypes[0])


def check_sample_weight(sample_weight: Any, m: int) -> np.ndarray | None:
    """Return the checked weights (m,), or None if not given; a single number counts for every example."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(m, sample_weight)
    checked = check_array(
        dense(sample_weight) if on_device(sample_weight) else sample_weight,
        ensure_2d=False,
        dtype=np.float64,
        input_name="sample_weight",
    )
    if checked.shape != (m,):
        raise ValueError(f"sample_weight must have shape ({m},), not {checked.shape}")
    if (checked < 0).any():
        first = int(np.argmax(checked < 0))
        raise ValueError(f"sample_weight[{first}] is {checked[first]}: weights must not be negative")
    return np.asarray(checked)


def balanced_weights(y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return the weights (m,) that give every class of y (m,) the same total weight.

    An example of class c has the weight Σ s / (k Σ_c s), where s are the sample weights and k classes occur,
    as in scikit-learn's LogisticRegression (King and Zeng 2001).
    """
    classes, labels = np.unique(y, return_inverse=True)
    totals = np.bincount(labels, sample_weight)
    return (totals.sum() / (len(classes) * np.where(totals > 0, totals, 1)))[labels]
