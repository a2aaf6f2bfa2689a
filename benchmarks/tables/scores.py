"""Scores of predictions, and the one by which contestants are ranked."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

from benchmarks.tables.sets import IMBALANCED, TableSet

TINY = 1e-7  # the smallest probability in the log loss: a single certain mistake would decide it


def score(classifies: bool, predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the scores of probabilities (m, n_classes) for classes y (m,), or of numbers (m,)."""
    if not classifies:
        return {
            "r2": float(metrics.r2_score(y, predicted)),
            "rmse": float(metrics.root_mean_squared_error(y, predicted)),
        }
    p = predicted / predicted.sum(axis=1, keepdims=True)
    chosen, labels = p.argmax(axis=1), np.arange(p.shape[1])
    two = len(labels) == 2
    ranked = p[:, 1] if two else p
    return {
        "accuracy": float(metrics.accuracy_score(y, chosen)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(y, chosen)),
        "log_loss": float(-np.log(np.maximum(p[np.arange(len(y)), y], TINY)).mean()),
        "roc_auc": float(metrics.roc_auc_score(y, ranked, multi_class="ovr", labels=labels)),
    }


def ranked_by(chosen: TableSet) -> str:
    """Return the score that ranks the contestants on a set; larger is better."""
    if not chosen.classifies:
        return "r2"
    return "roc_auc" if chosen.kind == IMBALANCED else "accuracy"
