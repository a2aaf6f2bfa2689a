"""A trained network as scikit-learn's inspection takes it: an estimator on numbers of rows, a column each."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from gpunn.predictor import Predictor
from gpunn.tables.target import Classes, Target


class Substituting(BaseEstimator):  # type: ignore[misc]
    """Predict with the columns of some rows replaced by those of other rows.

    The input is P (m, n_columns): row i has the features of column j that row P[i, j] of the examples has. To
    permute a column of P is to permute all features of a column of the table together.

    Args:
        net: the network.
        target: its target.
        X (n_features, m): the features of the examples.
        features: the features of each column.
    """

    def __init__(self, net: Predictor, target: Target, X: np.ndarray, features: list[np.ndarray]) -> None:
        self.net, self.target, self.X, self.features = net, target, X, features
        self.fitted_ = True  # as scikit-learn expects of a trained estimator

    def fit(self, P: np.ndarray, y: np.ndarray) -> Substituting:
        """Return the estimator: its network is trained already."""
        return self

    def outputs(self, P: np.ndarray) -> np.ndarray:
        """Return the network's outputs (n_out, m)."""
        rows = np.arange(self.X.shape[1])
        X = self.X.copy(order="F")
        places = np.asarray(P).astype(np.intp)
        for j in np.flatnonzero((places != rows[:, None]).any(axis=0)).tolist():
            X[self.features[j]] = self.X[np.ix_(self.features[j], places[:, j])]
        return self.net.forward(X)

    def predict(self, P: np.ndarray) -> np.ndarray:
        """Return the class numbers or the numbers (m,) that are predicted."""
        return self.target.decode(self.net, self.outputs(P))


class SubstitutingClassifier(ClassifierMixin, Substituting):  # type: ignore[misc]
    """A network for classes."""

    @property
    def classes_(self) -> np.ndarray:
        """The class numbers (n_classes,)."""
        assert isinstance(self.target, Classes)
        return np.arange(len(self.target.classes))

    def predict_proba(self, P: np.ndarray) -> Any:
        """Return the probabilities (m, n_classes)."""
        p = self.target.probabilities(self.net, self.outputs(P))
        assert p is not None
        return p.T


class SubstitutingRegressor(RegressorMixin, Substituting):  # type: ignore[misc]
    """A network for a quantity."""
