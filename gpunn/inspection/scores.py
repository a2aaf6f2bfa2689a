"""Scores of a classifier's probabilities, as scikit-learn computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: The scores beside the accuracy, and how they are written.
SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
}


def balanced_accuracy(y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean recall of the classes in y; y and predicted (m,) are class numbers."""
    from sklearn.metrics import recall_score

    return float(recall_score(y, predicted, labels=np.unique(y), average="macro", zero_division=0))


def score_probabilities(y: np.ndarray, p: np.ndarray) -> dict[str, float | None]:
    """Return the scores of probabilities p (n_classes, m) for class numbers y (m,).

    ROC AUC and average precision are those of the second of two classes; of more classes, the mean over the
    classes, each against all others. They are None if y has only one class. The Brier score is the mean of
    (p − y)² for two classes, and of its sum over the classes for more (Brier 1950).
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    p = normalised(p)
    classes = list(range(len(p)))
    return {
        "roc_auc": _one_vs_rest(roc_auc_score, y, p),
        "average_precision": _one_vs_rest(average_precision_score, y, p),
        "log_loss": float(log_loss(y, p.T, labels=classes)),
        "brier": float(brier_score_loss(y, p.T, labels=classes)),
    }


def normalised(p: np.ndarray) -> np.ndarray:
    """Return p (n_classes, m) in float64 with columns that sum to 1: independent sigmoids need not."""
    p = p.astype(np.float64)
    total = p.sum(axis=0)
    return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / len(p))


def _one_vs_rest(score: Callable[..., float], y: np.ndarray, p: np.ndarray) -> float | None:
    """Return the score of the second of two classes, or the mean over the classes that y has."""
    present = np.unique(y)
    if len(present) < 2:
        return None
    classes = [1] if len(p) == 2 else present
    return float(np.mean([score(y == k, p[k]) for k in classes]))
