"""Learning-rate schedules: plain functions of progress.

A schedule takes how far training is, from 0 up to but not including 1, and returns the factor by which
the optimizer's learning rate is multiplied for that step. Write your own as `lambda progress: …`, and
combine these by calling them.

>>> rise_and_fall = gpunn.schedules.warmup(0.1, then=gpunn.schedules.cosine())
>>> [round(rise_and_fall(progress), 2) for progress in (0, 0.05, 0.1, 0.55, 0.999)]
[0.0, 0.5, 1.0, 0.5, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TypeAlias

from gpunn.names import look_up, unknown
from gpunn.training.history import Record

__all__ = [
    "SCHEDULES",
    "ReduceOnPlateau",
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "one_cycle",
    "step",
    "warmup",
]

#: A function from progress in [0, 1) to the factor of the learning rate.
Schedule: TypeAlias = Callable[[float], float]


def constant(progress: float) -> float:
    """1: what no schedule means."""
    return 1.0


def step(drops: int = 3, factor: float = 0.1) -> Schedule:
    """Times `factor` at each of `drops` moments that part the training evenly.

    >>> halve = gpunn.schedules.step(drops=1, factor=0.5)
    >>> halve(0.0), halve(0.49), halve(0.5)
    (1.0, 1.0, 0.5)
    """
    return lambda progress: factor ** math.floor(progress * (drops + 1))


def exponential(final: float = 0.01) -> Schedule:
    """From 1 down to `final`, by the same share at every step."""
    return lambda progress: final**progress


def cosine(final: float = 0.0) -> Schedule:
    """From 1 down to `final` along half a cosine: Loshchilov and Hutter 2017, equation 5, no restart."""
    return lambda progress: final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def warmup(share: float = 0.05, then: Schedule = constant) -> Schedule:
    """Up from 0 in a line over that share of the training, and then another schedule.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    _check_share(share)
    return lambda progress: progress / share if progress < share else then((progress - share) / (1 - share))


def one_cycle(share: float = 0.3, start: float = 0.04, final: float = 4e-6) -> Schedule:
    """From `start` up to 1 over that share, and down to `final`, along cosines: Smith and Topin 2019.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    _check_share(share)

    def between(a: float, b: float, progress: float) -> float:
        return b + (a - b) * (1 + math.cos(math.pi * progress)) / 2

    return lambda progress: (
        between(start, 1, progress / share)
        if progress < share
        else between(1, final, (progress - share) / (1 - share))
    )


@dataclass
class ReduceOnPlateau:
    """Times `factor` whenever `patience` epochs in a row brought no better `metric`.

    A schedule that looks at how training goes, and so belongs to one training alone.

    Args:
        factor: of the learning rate, each time, between 0 and 1.
        patience: epochs, at least 1.
        metric: a field of `gpunn.Record`; losses and times are better when less, accuracies and scores when
            more.

    Raises:
        ValueError: there is no such metric, or a number is out of its range; in training, where the metric is
            not measured.

    >>> net, plateau = gpunn.Network([2, 3, 1], seed=0), gpunn.ReduceOnPlateau(0.5, 2, "loss")
    >>> history = net.fit(np.eye(2), [0, 1], epochs=5, schedule=plateau)
    """

    factor: float = 0.1
    patience: int = 5
    metric: str = "validation_loss"
    current: float = field(default=1.0, init=False)
    best: float = field(default=math.inf, init=False)
    waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be between 0 and 1, not {self.factor}")
        if not self.patience >= 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        metrics = [field.name for field in fields(Record)]
        if self.metric not in metrics:
            raise unknown(self.metric, "metric", metrics)

    def __call__(self, progress: float) -> float:
        return self.current

    def observe(self, record: Record) -> None:
        """Take note of an epoch, as `Network.fit` has it do after each."""
        value = score(record, self.metric)
        self.best, self.waited = (value, 0) if value < self.best else (self.best, self.waited + 1)
        if self.waited >= self.patience:
            self.current, self.waited = self.current * self.factor, 0


def score(record: Record, metric: str) -> float:
    """A metric of an epoch, as a number of which less is better. ValueError where there is none."""
    value = look_up(vars(record), metric, "metric")
    if value is None:
        raise ValueError(f"there is no {metric}: give fit a validation set, or name another metric")
    return -value if metric.endswith(("accuracy", "score")) else value


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, not {share}")


#: The schedules by name, each with its usual settings; `fit(schedule=NAME)` and --schedule take them.
SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "constant": lambda: constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
    "warmup": warmup,
    "one-cycle": one_cycle,
    "plateau": ReduceOnPlateau,
}


def get(schedule: str | Schedule | None) -> Schedule | None:
    """A schedule by name, with its usual settings, or as it is."""
    if isinstance(schedule, str):
        return look_up(SCHEDULES, schedule, "schedule")()
    if isinstance(schedule, type) or not (schedule is None or callable(schedule)):
        raise ValueError(f"schedule must be a name or a function of progress in [0, 1), not {schedule!r}")
    return schedule
