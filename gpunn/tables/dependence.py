"""Partial dependence: the mean prediction if a column has the same value in every row."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gpunn.predictor import Predictor
from gpunn.tables.dates import EPOCH, parse
from gpunn.tables.drivers import Rows, estimator
from gpunn.tables.target import Classes, Target

POINTS = 20  # values of a column of numbers or dates
EDGE = 0.02  # share of the rows beyond the first and the last of these values
CATEGORIES = 10  # categories that are shown, the most frequent ones
CLASSES = 4  # classes that are shown, those whose probabilities change most
MISSING = "(missing)"


@dataclass(frozen=True)
class Dependence:
    """How the mean prediction depends on a column.

    Attributes:
        column: the column.
        kind: "number", "date" or "category".
        values: numbers, days since 1970, or categories.
        predicted: the mean prediction for each value: the probability of classes by their names, or a
            quantity by the target's name.
    """

    column: str
    kind: str
    values: list[float] | list[str]
    predicted: dict[str, list[float]]


Scale = Callable[[str], float | None]  # reads a number in a cell, or the days since 1970 of a date


def days_of(order: str) -> Scale:
    """Return the function that reads the days since 1970 of a date."""

    def read(text: str) -> float | None:
        moment = parse(text, order)
        return None if moment is None else (moment - EPOCH) / datetime.timedelta(days=1)

    return read


def representatives(cells: Sequence[str], scale: Scale | None) -> list[tuple[float | str, int]]:
    """Return values of a column, each with the index of a row that has it.

    Args:
        cells: the text of the column in each row; "" if it is missing.
        scale: reads the numbers of a column of numbers or dates; None for categories.
    """
    first: dict[str, int] = {}
    for i, cell in enumerate(cells):
        first.setdefault(cell, i)
    if scale is None:
        frequent = Counter(cells).most_common(CATEGORIES)
        return [(text or MISSING, first[text]) for text, _ in frequent]
    numbers = {text: number for text in first if text and (number := scale(text)) is not None}
    ordered = sorted((numbers[cell], first[cell]) for cell in cells if cell in numbers)
    places = np.linspace(EDGE, 1 - EDGE, POINTS) * (len(ordered) - 1)
    chosen = [ordered[k] for k in np.unique(np.rint(places).astype(int)).tolist()] if ordered else []
    return list(dict(chosen).items())


def find_dependences(
    net: Predictor,
    target: Target,
    rows: Rows,
    features: Mapping[str, np.ndarray],
    cells: Mapping[str, Sequence[str]],
    scales: Mapping[str, tuple[str, Scale | None]],
) -> Iterator[Dependence]:
    """Yield how the prediction depends on each column of `features`, unless it has only one value.

    Args:
        net, target: the network and its target.
        rows: the rows over which the prediction is averaged.
        features: the features of each column.
        cells: the text of each column in these rows.
        scales: the kind of each column, and how to read its cells.
    """
    from sklearn.inspection import partial_dependence

    if isinstance(target, Classes) and not net.output_activation.gives_probabilities:
        return
    model = estimator(net, target, rows.X, list(features.values()))
    P = np.repeat(np.arange(len(rows.y), dtype=np.float64)[:, None], len(features), axis=1)
    for j, column in enumerate(features):
        kind, scale = scales[column]
        found = representatives(cells[column], scale)
        if len(found) < 2:
            continue
        values, places = zip(*found, strict=True)
        grid = {j: np.array(places, np.float64)}
        mean = partial_dependence(model, P, [j], custom_values=grid, kind="average", method="brute")
        yield Dependence(column, kind, list(values), named(target, mean["average"]))


def named(target: Target, mean: np.ndarray) -> dict[str, list[float]]:
    """Return the mean predictions (n, n_values) by name.

    The names are the target's, that of the second of two classes, or those of a few of more classes.
    """
    if not isinstance(target, Classes):
        return {target.name: mean[0].tolist()}
    if len(target.classes) == 2:
        return {target.classes[1]: mean[-1].tolist()}
    most = np.sort(np.argsort(-np.ptp(mean, axis=1), kind="stable")[:CLASSES])
    return {target.classes[k]: mean[k].tolist() for k in most.tolist()}
