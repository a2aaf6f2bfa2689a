"""Stop training when a metric no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gpunn.core.backend import Backend
from gpunn.names import unknown
from gpunn.training.history import Record, as_loss


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs in a row without a better `metric` (Nielsen, chapter 3).

    Args:
        metric: a field of `gpunn.Record`. Higher accuracies and scores are better; anything else is better
            when it is lower.
        patience: the number of epochs, at least 1.
        min_delta: how much better than the best epoch so far an epoch must be to count.
        restore_best: whether the network gets the weights of the best epoch, however training ends; otherwise
            it keeps those of the last epoch.

    Raises:
        ValueError: if there is no such metric, or a number is out of range.

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
        """Raise ValueError if the metric will not be measured."""
        if self.metric.startswith("validation_") and not validated:
            raise ValueError(
                f"{self.metric} is not measured: pass validation to fit, or choose another metric"
            )
        if self.metric == "validation_score" and not scored:
            raise ValueError("validation_score is not measured: pass score to fit, or choose another metric")
        if self.metric.endswith("accuracy") and not classes:
            raise ValueError(f"{self.metric} needs class labels, and y is targets: choose another metric")


@dataclass(frozen=True)
class Best:
    """The best epoch so far: its metric as a loss, its θ, and the number of epochs since."""

    score: float = math.inf
    epoch: int = 0
    waited: int = 0
    theta: Any = None


class StoppingState:
    """The state of early stopping in a training run.

    `best` is replaced as a whole, so Ctrl-C never leaves it half updated.
    """

    def __init__(self, chosen: EarlyStopping, be: Backend, theta: Any) -> None:
        self.chosen, self.be, self.theta, self.best = chosen, be, theta, Best()

    def observe(self, record: Record) -> None:
        """Take note of an epoch, and keep its θ if it is the best."""
        loss, best = as_loss(record, self.chosen.metric), self.best
        if loss < best.score - self.chosen.min_delta:
            theta = self.be.memory.copy(self.theta) if self.chosen.restore_best else None
            self.best = Best(loss, record.epoch, 0, theta)
        else:
            self.best = Best(best.score, best.epoch, best.waited + 1, best.theta)

    @property
    def over(self) -> bool:
        """Whether training has waited long enough for a better epoch."""
        return self.best.waited >= self.chosen.patience

    def load_best(self) -> None:
        """Copy the best θ back, if it was kept."""
        if self.best.theta is not None:
            self.be.memory.copy(self.best.theta, into=self.theta)

    def state(self) -> tuple[dict[str, Any], Any]:
        """Return the best epoch and its θ, as `EpochObserver` describes."""
        best = self.best
        return {"score": best.score, "epoch": best.epoch, "waited": best.waited}, best.theta

    def restore(self, values: Mapping[str, Any], array: Any) -> None:
        """Go back to what `state` returned."""
        theta = None
        if array is not None:
            self.be.memory.restore(array, into=(theta := self.be.memory.copy(self.theta)))
        self.best = Best(**values, theta=theta)
