"""The estimator for regression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from gpunn.core.layers import Dense
from gpunn.estimators.base import BaseMLP, ClassRule
from gpunn.estimators.building import cost
from gpunn.estimators.parameters import learns_by_minibatches
from gpunn.estimators.rows import Rows
from gpunn.functions.costs import Cost


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):
    """A neural network regressor: scikit-learn's MLPRegressor, trained by gpunn.

    `gpunn.estimators.BaseMLP` describes all other parameters and attributes.

    Args:
        loss: squared_error, poisson (for y ≥ 0, with exponential outputs), absolute_error, huber,
            "huber(2.0)", "quantile(0.9)" or a `Cost`.
        scoring: score on the validation rows; None for R².

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
            X: an array, a data frame, a sparse matrix or a CuPy array.
            y: the values to predict.
            sample_weight: (m,), the weight of each example.
            X_val: validation rows, scored after every epoch in validation_scores_. With early_stopping they
                replace the fraction that would be held out.
            y_val: the values of X_val.

        Raises:
            ValueError: if the data or the parameters are invalid, or training diverges.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(learns_by_minibatches)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPRegressor:
        """Train for one more epoch on X and y, which are as in `fit`.

        With early_stopping each call is scored on X_val and y_val, or on a fraction of its own examples. The
        caller decides when to stop.

        Raises:
            AttributeError: if the solver does not train by mini-batches.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the outputs for the rows of X: (m,) or (m, n_outputs)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        tags.input_tags.sparse = True
        return tags

    def _targets(self, y: np.ndarray, rule: ClassRule) -> np.ndarray:
        return y if y.ndim == 1 else np.ascontiguousarray(y.T)

    def _n_outputs(self, targets: np.ndarray) -> int:
        return 1 if targets.ndim == 1 else len(targets)

    def _output_layer(self) -> tuple[Dense, str | Cost]:
        return Dense(self.n_outputs_, "exp" if self.loss == "poisson" else "identity"), cost(self.loss)

    def _loss_conversion(self, rows: Rows) -> Callable[[float], float]:
        """Average over the outputs; for Poisson, sum and add the terms that depend only on y."""
        if self.loss != "poisson":
            return lambda loss: loss / self.n_outputs_
        constant = np.average(xlogy(rows.y, rows.y) - rows.y, weights=rows.weights, axis=0).sum()
        return lambda loss: float(loss + constant)
