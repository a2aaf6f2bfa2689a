"""How well probabilities tell the classes apart, at every threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.inspection.scores import normalised

CURVES = 4  # classes whose curves are drawn: those that are hardest to tell from the others
POINTS = 300  # the most points of a curve
STEPS = 1000  # thresholds between 0 and 1

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """How well one class is told from all others.

    Attributes:
        name: the class.
        share: the share of the examples that are of the class.
        roc: (false positive rate, recall) from the largest threshold to the smallest.
        recall: (recall, precision), in the order of the thresholds, too.
        roc_auc: the area below `roc`.
        average_precision: the mean precision over the steps of the recall.
    """

    name: str
    share: float
    roc: Points
    recall: Points
    roc_auc: float
    average_precision: float


@dataclass(frozen=True)
class Ranking:
    """The curves of the classes, and for two classes the predictions at each threshold.

    Attributes:
        curves: the curve of the second of two classes, or of some of more classes.
        hits: for two classes, the number of examples of the second class whose probability of it is above
            k / 1000, for k = 0…1000.
        alarms: the number of examples of the first class whose probability of the second is above k / 1000.
        threshold: the threshold that the model uses.
    """

    curves: list[Curve]
    hits: list[int]
    alarms: list[int]
    threshold: float = 0.5

    @property
    def of_two(self) -> bool:
        """Whether there are two classes, which a threshold divides."""
        return bool(self.hits)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any] | None) -> Ranking | None:
        if kept is None:
            return None
        return cls(**{**kept, "curves": [Curve(**curve) for curve in kept["curves"]]})


def rank(y: np.ndarray, p: np.ndarray, names: Sequence[str], threshold: float = 0.5) -> Ranking | None:
    """Compare probabilities p (n_classes, m) with the classes y (m,); None if y has only one class."""
    p, present = normalised(p), np.unique(y)
    if len(present) < 2:
        return None
    two = len(p) == 2
    curves = [_curve(names[k], y == k, p[k]) for k in ([1] if two else present)]
    curves.sort(key=lambda curve: curve.roc_auc)
    hits, alarms = ([_above(p[1, y == k]) for k in (1, 0)]) if two else ([], [])
    return Ranking(curves[:CURVES], hits, alarms, threshold)


def _curve(name: str, true: np.ndarray, p: np.ndarray) -> Curve:
    """Return the curve of a class from its truth (m,) and its probabilities (m,)."""
    from sklearn.metrics import (
        average_precision_score,
        precision_recall_curve,
        roc_auc_score,
        roc_curve,
    )

    false, hit, _ = roc_curve(true, p)
    precision, recall, _ = precision_recall_curve(true, p, drop_intermediate=True)
    return Curve(
        name,
        float(true.mean()),
        _thinned(false, hit),
        _thinned(recall[::-1], precision[::-1]),
        float(roc_auc_score(true, p)),
        float(average_precision_score(true, p)),
    )


def _thinned(x: np.ndarray, y: np.ndarray) -> Points:
    """Return at most `POINTS` of the points, with the first and the last."""
    some = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(np.intp))
    return [(float(x[i]), float(y[i])) for i in some]


def _above(p: np.ndarray) -> list[int]:
    """Count the probabilities above k / 1000, for k = 0…1000."""
    counts = len(p) - np.searchsorted(np.sort(p), np.arange(STEPS + 1) / STEPS, side="right")
    found: list[int] = counts.tolist()
    return found
