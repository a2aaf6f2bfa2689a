"""Scores of a classifier's probabilities, as scikit-learn computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: The measures of prediction intervals.
INTERVALS = {"coverage": "coverage", "width": "mean width"}
BETA = 0.05, 20.0  # the range of 1 / T
LEVEL = 0.01  # of significance, of the test whether the probabilities need a temperature
#: The scores besides accuracy, and their names in words.
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

    With two classes, ROC AUC and average precision are those of the second class. With more classes, they
    are means over the classes, each against all others. They are None if y has only one class. The Brier
    score is the mean of (p − y)² for two classes, and the mean of its sum over the classes for more
    (Brier 1950).
    """
    p = normalised(p)
    return {name: score(y, p) for name, score in PROBABILISTIC.items()}


def normalised(p: np.ndarray) -> np.ndarray:
    """Return p (n_classes, m) in float64 with columns that sum to 1: independent sigmoids need not."""
    p = p.astype(np.float64)
    total = p.sum(axis=0)
    return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / len(p))


def tempered(p: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(z / T), in the dtype of p, where p (n_classes, m) is softmax(z).

    z is ln p up to a constant, so this is p^(1/T) / Σ p^(1/T).
    """
    z = np.log(np.maximum(p, np.finfo(p.dtype).tiny).astype(np.float64)) / temperature
    a = np.exp(z - z.max(axis=0))
    return np.asarray(a / a.sum(axis=0), p.dtype)


def fit_temperature(y: np.ndarray, p: np.ndarray) -> float:
    """Return the T that minimises the log loss of tempered p (n_classes, m) for class numbers y (m,).

    T is 1 unless a likelihood-ratio test rejects that at the 1% level, because a few rows should not decide.
    """
    from scipy.optimize import minimize_scalar
    from scipy.stats import chi2

    def log_likelihood(beta: float) -> float:
        own = tempered(p.astype(np.float64), 1 / beta)[y, np.arange(len(y))]
        return float(np.log(np.maximum(own, np.finfo(np.float64).tiny)).sum())

    found = minimize_scalar(lambda beta: -log_likelihood(beta), bounds=BETA, method="bounded")
    better = 2 * (-found.fun - log_likelihood(1.0)) > chi2.ppf(1 - LEVEL, df=1)
    return 1 / float(found.x) if better else 1.0


def _one_vs_rest(score: Callable[..., float], y: np.ndarray, p: np.ndarray) -> float | None:
    """Return the score of the second of two classes, or the mean over the classes that y has."""
    present = np.unique(y)
    if len(present) < 2:
        return None
    classes = [1] if len(p) == 2 else present
    return float(np.mean([score(y == k, p[k]) for k in classes]))


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    return _one_vs_rest(roc_auc_score, y, p)


def _average_precision(y: np.ndarray, p: np.ndarray) -> float | None:
    from sklearn.metrics import average_precision_score

    return _one_vs_rest(average_precision_score, y, p)


def _log_loss(y: np.ndarray, p: np.ndarray) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(y, p.T, labels=range(len(p))))


def _brier(y: np.ndarray, p: np.ndarray) -> float:
    from sklearn.metrics import brier_score_loss

    return float(brier_score_loss(y, p.T, labels=range(len(p))))


#: The scores of y (m,) and normalised p (n_classes, m), by name.
PROBABILISTIC: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
}
