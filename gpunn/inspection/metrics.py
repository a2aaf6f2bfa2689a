"""Metrics of predictions: by class, and the calibration of their probabilities.

scikit-learn has these metrics too, but takes most of a second to import; the tests compare both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.predictor import Predictor

UNITS = {"accuracy": "accuracy", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}
PERCENT = ("accuracy", "balanced_accuracy", "coverage")
BINS = 10


def figure(name: str, value: float) -> str:
    """Format a metric: an accuracy as a percentage, other numbers to four digits or as a whole number."""
    if name in PERCENT:
        return f"{value:.2%}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"


def per_class(y: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Compute the confusion matrix (rows: true class), and precision, recall, F1 and support of each class.

    y and predicted (m,) are class numbers. A ratio of 0 / 0 counts as 0.
    """
    n = len(names)
    matrix = np.bincount(n * np.asarray(y) + predicted, minlength=n * n).reshape(n, n)
    hits, support, found = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    shares = {
        "precision": hits / np.maximum(found, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(found + support, 1),
    }
    rows = [
        {"class": name, **{share: float(x[k]) for share, x in shares.items()}, "support": int(support[k])}
        for k, name in enumerate(names)
    ]
    return {"confusion_matrix": matrix.tolist(), "classes": rows}


def most_confused(
    matrix: Sequence[Sequence[int]], names: Sequence[str], most: int = 10
) -> list[tuple[int, str, str]]:
    """List the most frequent confusions: (number, true class, predicted class)."""
    found = [
        (n, names[i], names[j]) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n
    ]
    return sorted(found, reverse=True)[:most]


def probabilities(net: Predictor, outputs: np.ndarray) -> np.ndarray | None:
    """The probability of each class (n_classes, m), from outputs (n_out, m); None unless in (0, 1)."""
    if not net.output_activation.gives_probabilities:
        return None
    return np.concatenate([1 - outputs, outputs]) if len(outputs) == 1 else outputs


@dataclass(frozen=True)
class Calibration:
    """The calibration of predictions, in bins of equal width; empty bins are left out.

    Attributes:
        confidence: mean confidence in each bin.
        accuracy: fraction of correct predictions in each bin.
        examples: number of examples in each bin.
        error: expected calibration error: the mean over the examples of |accuracy − confidence| of their bin
            (Guo et al. 2017).
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    examples: tuple[int, ...]
    error: float


def calibrate(confidence: np.ndarray, right: np.ndarray) -> Calibration:
    """Compare the confidences (m,) of predictions with whether they were right (m,), in ten bins."""
    k = np.clip((BINS * confidence).astype(np.intp), 0, BINS - 1)
    counts = np.bincount(k, minlength=BINS)
    some = counts > 0
    claimed, held = (
        np.bincount(k, x.astype(np.float64), BINS)[some] / counts[some] for x in (confidence, right)
    )
    error = float(counts[some] @ np.abs(held - claimed) / len(right))
    return Calibration(tuple(claimed.tolist()), tuple(held.tolist()), tuple(counts[some].tolist()), error)
