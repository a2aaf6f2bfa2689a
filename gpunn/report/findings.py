"""The findings of a test, stored as JSON, so that a report needs neither the data nor a new test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from gpunn.inspection.metrics import Calibration, calibrate, per_class, probabilities
from gpunn.network import classify
from gpunn.predictor import Predictor
from gpunn.report.pictures import of_example
from gpunn.report.ranking import Ranking

MISTAKES = 24
PAIRS = 1000  # (actual, predicted) pairs that are drawn
BARS = 30  # bars of the histogram of the residuals


@dataclass(frozen=True)
class Mistake:
    """A misclassified example, or a prediction with a large error.

    Attributes:
        place: where the example is, such as "row 7".
        probability: the probability of the predicted class, if the network gives one.
        picture: an image as a data URI.
        cells: some columns of its row, as they are written in the table.
    """

    place: str
    true: str
    predicted: str
    probability: float | None = None
    picture: str | None = None
    cells: dict[str, str] | None = None


@dataclass(frozen=True)
class ClassificationFindings:
    """The findings of a test of a classifier.

    Attributes:
        confusion: the confusion matrix, whose rows are true classes.
        classes: precision, recall, F1 and support of each class.
        wrong: the number of misclassified examples.
        mistakes: the most confident mistakes.
        ranking: how well the probabilities tell the classes of a table apart; None if there are none, or if
            the test has only one class.
    """

    confusion: list[list[int]]
    classes: list[dict[str, Any]]
    wrong: int
    mistakes: list[Mistake]
    calibration: Calibration | None
    ranking: Ranking | None = None


@dataclass(frozen=True)
class RegressionFindings:
    """The findings of a test of a regressor.

    Attributes:
        pairs: (actual, predicted) of up to 1,000 examples.
        edges: the edges of the bins of the histogram of the residuals.
        counts: the counts of these bins.
        mistakes: the largest errors.
    """

    pairs: list[tuple[float, float]]
    edges: list[float]
    counts: list[int]
    mistakes: list[Mistake]


Findings: TypeAlias = ClassificationFindings | RegressionFindings
Cells: TypeAlias = Callable[[Sequence[int]], list[dict[str, str]]]


def classification_findings(
    net: Predictor,
    outputs: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    place: Callable[[int], str],
    pixels: Callable[[int], np.ndarray] | None = None,
    predicted: np.ndarray | None = None,
    p: np.ndarray | None = None,
    cells: Cells | None = None,
) -> ClassificationFindings:
    """Compare outputs (n_out, m) with the classes y (m,).

    Args:
        names: the names of the classes.
        place: the place of the i-th example.
        pixels: the i-th example as an image, if the examples are images.
        predicted: the predicted classes (m,), if they are not those with the largest outputs.
        p: the probabilities (n_classes, m), if they are not the outputs.
        cells: the cells of some examples, if they are rows of a table.
    """
    predicted = classify(outputs, net.cost.threshold) if predicted is None else predicted
    p = probabilities(net, outputs) if p is None else p
    names = names if len(names) > 1 else ["0", "1"]
    found, wrong = per_class(y, predicted, names), np.flatnonzero(predicted != y)
    confidence = None if p is None else p[predicted, np.arange(len(y))]
    sure = margin(outputs, net.cost.threshold) if confidence is None else confidence

    def mistake(i: int) -> Mistake:
        probability = None if confidence is None else float(confidence[i])
        picture = of_example(pixels(i)) if pixels else None
        return Mistake(place(i), names[y[i]], names[predicted[i]], probability, picture)

    most_confident = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES].tolist()
    mistakes = with_cells([mistake(i) for i in most_confident], most_confident, cells)
    calibration = None if confidence is None else calibrate(confidence, predicted == y)
    return ClassificationFindings(
        found["confusion_matrix"], found["classes"], len(wrong), mistakes, calibration
    )


def margin(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """The lead (m,) of the largest output over the second; of one output, from the threshold."""
    if len(outputs) == 1:
        return np.abs(outputs[0] - threshold)
    second, first = np.partition(outputs, -2, axis=0)[-2:]
    return first - second


def regression_findings(
    predicted: np.ndarray, y: np.ndarray, place: Callable[[int], str], cells: Cells | None = None
) -> RegressionFindings:
    """Compare predictions (m,) with the actual values y (m,).

    Args:
        place: the place of the i-th example.
        cells: the cells of some examples, if they are rows of a table.
    """
    residuals, spread = predicted - y, float(y.std()) or 1.0
    counts, edges = np.histogram(residuals, min(BARS, max(5, len(y) // 5)))
    worst = np.argsort(-np.abs(residuals), kind="stable")[:MISTAKES].tolist()
    mistakes = [
        Mistake(place(i), format_number(y[i], spread, ","), format_number(predicted[i], spread, ","))
        for i in worst
    ]
    mistakes = with_cells(mistakes, worst, cells)
    drawn = np.unique(np.linspace(0, len(y) - 1, PAIRS).astype(np.intp))
    pairs = [(float(y[i]), float(predicted[i])) for i in drawn]
    return RegressionFindings(pairs, edges.tolist(), counts.tolist(), mistakes)


def with_cells(mistakes: list[Mistake], at: Sequence[int], cells: Cells | None) -> list[Mistake]:
    """Return mistakes with the cells of their rows, unless these are unknown. at: the examples' numbers."""
    found = cells(at) if cells else []
    if not found:
        return mistakes
    return [replace(mistake, cells=row) for mistake, row in zip(mistakes, found, strict=True)]


def format_number(value: float, spread: float, thousands: str = "") -> str:
    """A number to a millionth of the spread of its kind, and to at least six digits.

    >>> format_number(2 / 3, spread=10.0), format_number(4000 / 3, spread=10.0, thousands=",")
    ('0.666667', '1,333.33333')
    """
    ahead = math.ceil(math.log10(abs(value) / spread)) if abs(value) > spread else 0
    return f"{value:{thousands}.{min(6 + ahead, 17)}g}"


def to_json(found: Findings | None) -> dict[str, Any] | None:
    return asdict(found) if found else None


def from_json(kept: Mapping[str, Any] | None) -> Findings | None:
    """Rebuild the findings from `to_json`. Raises TypeError or KeyError for anything else."""
    if kept is None:
        return None
    mistakes = [Mistake(**mistake) for mistake in kept["mistakes"]]
    if "confusion" not in kept:
        return RegressionFindings(**{**kept, "mistakes": mistakes})
    calibration = kept["calibration"] and Calibration(**kept["calibration"])
    ranking = Ranking.from_json(kept.get("ranking"))
    return ClassificationFindings(
        **{**kept, "mistakes": mistakes, "calibration": calibration, "ranking": ranking}
    )
