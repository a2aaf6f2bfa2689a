"""What a test showed, kept with the run as JSON: a report needs neither the data nor the test again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from gpunn.inspection.metrics import Calibration, calibrate, per_class, probabilities
from gpunn.network import Network, classify
from gpunn.report.pictures import of_example

MISTAKES = 24
PAIRS = 1000  # of predicted and actual numbers, that are drawn
BARS = 30  # of the residuals' histogram


@dataclass(frozen=True)
class Mistake:
    """An example that was predicted wrongly, or a number that was far off.

    place: where it is, such as "row 7". probability: of what was predicted, where the network gives it.
    picture: of an image, as a data URI.
    """

    place: str
    true: str
    predicted: str
    probability: float | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Classified:
    """Test examples of classes. confusion: rows are true classes. wrong: how many examples are."""

    confusion: list[list[int]]
    classes: list[dict[str, Any]]
    wrong: int
    mistakes: list[Mistake]
    calibration: Calibration | None


@dataclass(frozen=True)
class Measured:
    """Test examples of numbers: the residuals' histogram, and pairs (actual, predicted) of up to 1,000."""

    pairs: list[tuple[float, float]]
    edges: list[float]
    counts: list[int]
    mistakes: list[Mistake]


Findings: TypeAlias = Classified | Measured


def classified(
    net: Network,
    outputs: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    place: Callable[[int], str],
    pixels: Callable[[int], np.ndarray] | None = None,
) -> Classified:
    """What outputs (n_out, m) for examples of the classes y (m,) show; of images, pixels gives the i-th."""
    predicted, p = classify(outputs, net.cost.threshold), probabilities(net, outputs)
    names = names if len(names) > 1 else ["0", "1"]
    found, wrong = per_class(y, predicted, names), np.flatnonzero(predicted != y)
    confidence = None if p is None else p[predicted, np.arange(len(y))]
    sure = margin(outputs, net.cost.threshold) if confidence is None else confidence
    mistakes = [
        Mistake(
            place(i),
            names[y[i]],
            names[predicted[i]],
            None if confidence is None else float(confidence[i]),
            of_example(pixels(i)) if pixels else None,
        )
        for i in wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES].tolist()
    ]
    calibration = None if confidence is None else calibrate(confidence, predicted == y)
    return Classified(found["confusion_matrix"], found["classes"], len(wrong), mistakes, calibration)


def margin(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """By how much (m,) the largest output is ahead of the next; a single one, of the threshold."""
    if len(outputs) == 1:
        return np.abs(outputs[0] - threshold)
    second, first = np.partition(outputs, -2, axis=0)[-2:]
    return first - second


def measured(predicted: np.ndarray, y: np.ndarray, place: Callable[[int], str]) -> Measured:
    """What predictions (m,) of the numbers y (m,) show."""
    residuals, spread = predicted - y, float(y.std()) or 1.0
    counts, edges = np.histogram(residuals, min(BARS, max(5, len(y) // 5)))
    worst = np.argsort(-np.abs(residuals), kind="stable")[:MISTAKES].tolist()
    mistakes = [
        Mistake(place(i), written(y[i], spread, ","), written(predicted[i], spread, ",")) for i in worst
    ]
    drawn = np.unique(np.linspace(0, len(y) - 1, PAIRS).astype(np.intp))
    pairs = [(float(y[i]), float(predicted[i])) for i in drawn]
    return Measured(pairs, edges.tolist(), counts.tolist(), mistakes)


def written(value: float, spread: float, thousands: str = "") -> str:
    """A number to a millionth of the spread of its like, and to six digits at least."""
    ahead = math.ceil(math.log10(abs(value) / spread)) if abs(value) > spread else 0
    return f"{value:{thousands}.{min(6 + ahead, 17)}g}"


def to_json(found: Findings | None) -> dict[str, Any] | None:
    return asdict(found) if found else None


def from_json(kept: Mapping[str, Any] | None) -> Findings | None:
    """What `to_json` made. TypeError or KeyError for anything else."""
    if kept is None:
        return None
    mistakes = [Mistake(**mistake) for mistake in kept["mistakes"]]
    if "confusion" not in kept:
        return Measured(**{**kept, "mistakes": mistakes})
    calibration = kept["calibration"] and Calibration(**kept["calibration"])
    return Classified(**{**kept, "mistakes": mistakes, "calibration": calibration})
