"""Suspected leaks: columns that predict the target almost perfectly on their own.

They may be unknown at the time of a prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gpunn.tables.target import Classes, Target

NEARLY = 0.999  # of ROC AUC or R²
FEWEST, MOST = 50, 2000  # rows
FEWEST_OF_CLASS = 5  # rows of a class in each half


@dataclass(frozen=True)
class Leak:
    """A column that alone predicts the target, and its score: "ROC AUC" or "R²"."""

    column: str
    score: str
    value: float

    def describe(self) -> str:
        """Describe the suspicion in a line."""
        return (
            f"Column '{self.column}' alone predicts the target almost perfectly ({self.score} "
            f"{self.value:.4g}): if it is not known before the target is, leave it out with --drop "
            f"'{self.column}'"
        )


def find_leaks(
    target: Target, X: np.ndarray, y: np.ndarray, suspects: Mapping[str, np.ndarray]
) -> Iterator[Leak]:
    """Yield the columns that predict the target almost perfectly.

    A model of each column is fitted to half of the rows and scored on the other half.

    Args:
        target: the target.
        X: (n_features, m), examples.
        y: (m,), their targets.
        suspects: the indices of the features of each column.
    """
    at = np.unique(np.linspace(0, len(y) - 1, min(MOST, len(y))).astype(np.intp))
    if len(at) < FEWEST:
        return
    for column, features in suspects.items():
        x = X[np.ix_(features, at)].T
        classifies = isinstance(target, Classes)
        value = (auc_alone if classifies else r2_alone)(x[::2], y[at[::2]], x[1::2], y[at[1::2]])
        if value > NEARLY:
            yield Leak(column, "ROC AUC" if classifies else "R²", value)


def auc_alone(x: np.ndarray, y: np.ndarray, other_x: np.ndarray, other_y: np.ndarray) -> float:
    """Return a decision tree's smallest ROC AUC among the classes, on one column; 0 for too few rows."""
    from sklearn.metrics import roc_auc_score
    from sklearn.tree import DecisionTreeClassifier

    known = [k for k in np.unique(y) if min((y == k).sum(), (other_y == k).sum()) >= FEWEST_OF_CLASS]
    if len(known) < 2:
        return 0.0
    tree = DecisionTreeClassifier(random_state=0).fit(x, y)
    p = tree.predict_proba(other_x)
    columns = {k: j for j, k in enumerate(tree.classes_)}
    return min(float(roc_auc_score(other_y == k, p[:, columns[k]])) for k in known)


def r2_alone(x: np.ndarray, y: np.ndarray, other_x: np.ndarray, other_y: np.ndarray) -> float:
    """Return the R² of a decision tree on one column, or of a line if that is better."""
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score
    from sklearn.tree import DecisionTreeRegressor

    models = DecisionTreeRegressor(random_state=0), LinearRegression()
    return max(float(r2_score(other_y, model.fit(x, y).predict(other_x))) for model in models)
