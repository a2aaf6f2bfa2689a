"""What is to be predicted: classes or a number, and how well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.names import unknown
from gpunn.tables.table import MOST_TEXTS, NUMBER, Column, Table, number_text

CLASSIFICATION, REGRESSION = "classification", "regression"
MOST_WHOLE = 2**53  # float64 holds no greater odd number
FEW = 20  # different whole numbers are classes, where each comes twice or more


@dataclass(frozen=True)
class Classes:
    """A target of classes, by their names; kind: what its column holds."""

    name: str
    kind: str
    classes: tuple[str, ...]

    task = CLASSIFICATION

    def encode(self, table: Table) -> np.ndarray:
        """The classes (m,) of a table's target. ValueError, with the place, for one that is not known."""
        assert table.target and table.y is not None
        values = np.unique(table.y)
        names = _names(table.target, values)
        place = {name: k for k, name in enumerate(self.classes)}
        for value, name in zip(values, names, strict=True):
            if name not in place:
                where = table.place(int(np.argmax(table.y == value)))
                raise ValueError(f"{table.path}, {where}: {unknown(name, 'class', self.classes)}")
        return np.array([place[name] for name in names])[np.searchsorted(values, table.y)]


@dataclass(frozen=True)
class Quantity:
    """A target of numbers, of which the network learns (y − mean) / scale."""

    name: str
    mean: float = 0.0
    scale: float = 1.0

    task = REGRESSION
    kind = NUMBER

    def fitted(self, y: np.ndarray, reach: tuple[float, float]) -> Quantity:
        """With the mean and the scale that suit these numbers (m,), and outputs in that interval.

        Those that the outputs reach as they are stay so; where there is but a least one of 0 they are scaled.
        """
        low, high = reach
        within = low <= y.min() and y.max() <= high
        if within and high < math.inf:
            return self
        if within and low == 0:
            return replace(self, scale=float(y.mean()) or 1.0)
        return replace(self, mean=float(y.mean()), scale=float(y.std()) or 1.0)

    def encode(self, table: Table) -> np.ndarray:
        """The numbers (m,) of a table's target."""
        assert table.y is not None
        return table.y


def choose(table: Table, task: str | None) -> Classes | Quantity:
    """Classes for texts and few whole numbers, else a number; task overrules it.

    ValueError, with the place, where the target is missing or cannot be learnt.
    """
    assert table.target and table.y is not None
    check_whole(table)
    column, values = table.target, np.unique(table.y)
    few = len(values) <= min(FEW, max(2, len(table.y) / 2)) and bool((values == np.rint(values)).all())
    number = task == REGRESSION or (task is None and not column.texts and not few)
    _check_values(table.path, column, values, number)
    return Quantity(column.name) if number else Classes(column.name, column.kind, _in_order(column, values))


def _check_values(path: Path, column: Column, values: np.ndarray, number: bool) -> None:
    """ValueError where these different values cannot be learnt as numbers, or as classes."""
    target = f"{path}: '{column.name}'"
    if number and column.texts:
        raise ValueError(f"{target} holds texts, and regression needs numbers")
    if not number and not column.texts and np.abs(values).max() > MOST_WHOLE:
        category = f"--category '{column.name}'"
        raise ValueError(f"{target} has numbers too long to be told apart: {category} takes them as texts")
    if len(values) == 1:
        raise ValueError(f"{target} is always {_names(column, values)[0]}: nothing to learn")
    if not number and len(values) > MOST_TEXTS:
        raise ValueError(f"{target} has more than {MOST_TEXTS} classes")


def check_whole(table: Table) -> None:
    """ValueError, with the place, where the target is missing."""
    assert table.target and table.y is not None
    if table.target.texts and table.target.texts.many:
        raise ValueError(
            f"{table.path}: '{table.target.name}' has more than {MOST_TEXTS} different texts: no classes"
        )
    if (missing := np.isnan(table.y)).any():
        where = table.place(int(np.argmax(missing)))
        raise ValueError(f"{table.path}, {where}: the target '{table.target.name}' is missing")


def _names(column: Column, values: np.ndarray) -> list[str]:
    """The names of classes, from what the table holds."""
    if column.texts:
        texts = list(column.texts.codes)
        return [texts[int(value)] for value in values]
    return [number_text(value) for value in values]


def _in_order(column: Column, values: np.ndarray) -> tuple[str, ...]:
    """Numbers by size, texts by the alphabet."""
    names = _names(column, values)
    return tuple(sorted(names) if column.texts else names)


def to_json(target: Classes | Quantity) -> dict[str, Any]:
    return {"task": target.task, **asdict(target)}


def from_json(kept: Mapping[str, Any]) -> Classes | Quantity:
    values = {name: value for name, value in kept.items() if name != "task"}
    if kept["task"] == REGRESSION:
        return Quantity(**values)
    return Classes(**{**values, "classes": tuple(values["classes"])})
