"""What a `fit` is given, checked: examples as rows, as scikit-learn has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from gpunn.core.inputs import dense, on_device


@dataclass(frozen=True)
class Rows:
    """X (m, n), dense or CSR; y (m,) or (m, n_outputs) as the user has it; `targets` as `Network.fit` takes
    them; sample_weight (m,) as given, and with the weights of the classes in `weights`."""

    X: Any
    y: np.ndarray
    targets: np.ndarray
    sample_weight: np.ndarray | None = None
    weights: np.ndarray | None = None

    @property
    def m(self) -> int:
        return int(self.X.shape[0])

    def mean_weight(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Of those rows; ValueError where it is 0."""
        if self.weights is None:
            return 1.0
        mean = float(np.mean(self.weights[rows]))
        if not mean > 0:
            raise ValueError("sample_weight and class_weight leave every example a weight of zero")
        return mean

    def relative_weights(self, mean: float) -> np.ndarray | None:
        """The weights in multiples of their mean, as it takes for a mean over the weights' sum."""
        return None if self.weights is None else self.weights / mean

    def scored(self, rows: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """X, y and sample_weight of those rows."""
        return self.X[rows], self.y[rows], None if self.sample_weight is None else self.sample_weight[rows]


def on_device_X(est: Any, X: Any, dtypes: Any, reset: bool) -> Any:
    """CuPy's X (m, n) as one of those floats, checked where it lies as far as `Network` does not check it."""
    if X.ndim != 2:
        raise ValueError(f"X must be (m, n_features), not {X.shape}")
    if reset:
        est.n_features_in_ = X.shape[1]
    elif X.shape[1] != est.n_features_in_:
        expected = f"{type(est).__name__} is expecting {est.n_features_in_} features as input"
        raise ValueError(f"X has {X.shape[1]} features, but {expected}")
    dtypes = np.atleast_1d(dtypes)
    return X if X.dtype in dtypes else X.astype(dtypes[0])


def combined_weights(given: Any, by_class: np.ndarray | None, m: int) -> tuple[Any, Any]:
    """sample_weight (m,), checked, and its product with the weights of the classes; None for none."""
    if given is None:
        return None, by_class
    given = check_array(
        dense(given) if on_device(given) else given,
        ensure_2d=False,
        dtype=np.float64,
        input_name="sample_weight",
    )
    if given.shape != (m,):
        raise ValueError(f"sample_weight must be ({m},), not {given.shape}")
    if (given < 0).any():
        first = int(np.argmax(given < 0))
        raise ValueError(f"sample_weight[{first}] is {given[first]}: weights must be 0 or more")
    return given, given if by_class is None else given * by_class
