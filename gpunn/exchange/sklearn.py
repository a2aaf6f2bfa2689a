"""Networks from scikit-learn: the same function, with its weights copied exactly.

scikit-learn takes examples as rows, and stores the transpose of w[l].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.core.layers import Dense
from gpunn.exchange.parts import Parts

OF_SKLEARN = {"logistic": "sigmoid"}  # all other activations have the same name in both


def from_sklearn(estimator: Any) -> Parts:
    """Take apart a fitted `MLPClassifier` or `MLPRegressor`. Raises ValueError for any other estimator."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(estimator, MLPClassifier | MLPRegressor):
        raise ValueError(
            f"only scikit-learn's MLPClassifier and MLPRegressor can be read, not {type(estimator).__name__}"
        )
    check_is_fitted(estimator)
    *hidden, output = (w.shape[1] for w in estimator.coefs_)
    f, f_out = (OF_SKLEARN.get(f, f) for f in (estimator.activation, estimator.out_activation_))
    arrays: dict[str, np.ndarray] = {}
    for l, (w, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True), start=1):
        arrays |= {f"w{l}": w.T, f"b{l}": b[:, None]}
    return Parts(
        len(estimator.coefs_[0]),
        [*(Dense(n, f) for n in hidden), Dense(output, f_out)],
        arrays,
        meta={"classes": estimator.classes_.tolist()} if isinstance(estimator, MLPClassifier) else {},
    )
