"""Stop training once the score on held-out examples no longer improves."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gpunn.core.backend import Backend
from gpunn.names import unknown
from gpunn.training.history import Record
from gpunn.training.schedules import score


@dataclass(frozen=True)
class EarlyStopping:
    """Stop once `patience` epochs in a row brought no better `metric` (Nielsen, chapter 3).

    Args:
        metric: a field of `gpunn.Record`; accuracies and scores are better when more, the rest when less.
        patience: epochs, at least 1.
        min_delta: by how much an epoch must be better than the best so far.
        restore_best: leave the network with the best epoch's weights, however training ends; else it has
            the last epoch's.

    Raises:
        ValueError: there is no such metric, or a number is out of its range.

    >>> digits = gpunn.datasets.load("digits").train
    >>> net = gpunn.Network(64, [gpunn.Dense(30, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    >>> stop = gpunn.EarlyStopping("validation_accuracy", patience=3)
    >>> history = net.fit(digits.X, digits.y, epochs=500, optimizer="adam", validation=0.2, stop=stop)
    >>> history.stopped, len(history) < 500
    ('early', True)
    """

    metric: str = "validation_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        metrics = [field.name for field in fields(Record)]
        if self.metric not in metrics:
            raise unknown(self.metric, "metric", metrics)
        if not isinstance(self.patience, int | np.integer) or self.patience < 1:
            raise ValueError(f"patience must be a whole number of at least 1, not {self.patience!r}")
        if not self.min_delta >= 0:
            raise ValueError(f"min_delta must be 0 or more, not {self.min_delta}")

    def check(self, validated: bool, *, classes: bool, scored: bool) -> None:
        """ValueError where the metric will not be measured."""
        if self.metric.startswith("validation_") and not validated:
            raise ValueError(f"there is no {self.metric}: give fit a validation set, or name another metric")
        if self.metric == "validation_score" and not scored:
            raise ValueError("there is no validation_score: give fit a score, or name another metric")
        if self.metric.endswith("accuracy") and not classes:
            raise ValueError(f"there is no {self.metric} where y is not classes: name another metric")


@dataclass(frozen=True)
class Best:
    """The best epoch so far: its score (less is better), its θ, and how many epochs came after it."""

    score: float = math.inf
    epoch: int = 0
    waited: int = 0
    theta: Any = None


class Watch:
    """An `EarlyStopping` at work on a θ. `best` is replaced as a whole, so Ctrl-C never finds half of it."""

    def __init__(self, chosen: EarlyStopping, be: Backend, theta: Any) -> None:
        self.chosen, self.be, self.theta, self.best = chosen, be, theta, Best()

    def observe(self, record: Record) -> None:
        """Take note of an epoch, and of its θ where it is the best."""
        new, best = score(record, self.chosen.metric), self.best
        if new < best.score - self.chosen.min_delta:
            theta = self.be.copy(self.theta) if self.chosen.restore_best else None
            self.best = Best(new, record.epoch, 0, theta)
        else:
            self.best = Best(best.score, best.epoch, best.waited + 1, best.theta)

    @property
    def over(self) -> bool:
        return self.best.waited >= self.chosen.patience

    def restore(self) -> None:
        """The best θ, where there is one."""
        if self.best.theta is not None:
            self.be.copy(self.best.theta, into=self.theta)
