"""The regressor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from gpunn.core.layers import Dense
from gpunn.estimators.base import BaseMLP, Classes
from gpunn.estimators.classifier import learns_by_batches
from gpunn.estimators.rows import Rows
from gpunn.estimators.settings import cost
from gpunn.functions.costs import Cost


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):
    """A neural network for numbers: scikit-learn's MLPRegressor, trained by gpunn.

    All other parameters and attributes are those of `gpunn.estimators.BaseMLP`.

    Args:
        loss: squared_error, poisson (of y ≥ 0; its outputs are exponentials), absolute_error, huber,
            "huber(2.0)", "quantile(0.9)", or a `Cost`.
        scoring: None for R².

    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> est = gpunn.MLPRegressor(solver="lbfgs", max_iter=2000, random_state=0)
    >>> est.fit(X, np.sin(3 * X[:, 0])).score(X, np.sin(3 * X[:, 0])) > 0.99
    True
    """

    loss: str | Cost = "squared_error"
    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPRegressor:
        """Train on X (m, n_features) and y (m,) or (m, n_outputs).

        Args:
            X: an array, a frame, sparse, or CuPy's.
            y: what is to be predicted.
            sample_weight: (m,), what each example counts.
            X_val: measured after every epoch in validation_scores_, and what decides with early_stopping, in
                place of a share held out.
            y_val: what goes with it.

        Raises:
            ValueError: what does not fit, and a training that diverges.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(learns_by_batches)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPRegressor:
        """Train for one epoch on X and y, as `fit` takes them, from where the last call ended.

        With early_stopping each call is scored, on X_val and y_val or on a share of its own examples; when
        to stop is the caller's choice.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The outputs for the rows of X: (m,), or (m, n_outputs)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        tags.input_tags.sparse = True
        return tags

    def _targets(self, y: np.ndarray, classes: Classes) -> np.ndarray:
        return y if y.ndim == 1 else np.ascontiguousarray(y.T)

    def _n_outputs(self, targets: np.ndarray) -> int:
        return 1 if targets.ndim == 1 else len(targets)

    def _output_layer(self) -> tuple[Dense, str | Cost]:
        return Dense(self.n_outputs_, "exp" if self.loss == "poisson" else "identity"), cost(self.loss)

    def _loss_of(self, rows: Rows) -> Callable[[float], float]:
        """The mean over the outputs; of Poisson the sum, with what does not depend on the outputs."""
        if self.loss != "poisson":
            return lambda loss: loss / self.n_outputs_
        rest = np.average(xlogy(rows.y, rows.y) - rows.y, weights=rows.weights, axis=0).sum()
        return lambda loss: float(loss + rest)
