"""Learning-rate schedules: plain functions of progress.

A schedule takes the progress of training in [0, 1) and returns the factor that multiplies the optimizer's
learning rate at that step. Write your own as `lambda progress: …`, or nest these.

>>> rise_and_fall = gpunn.schedules.warmup(0.1, then=gpunn.schedules.cosine())
>>> [round(rise_and_fall(progress), 2) for progress in (0, 0.05, 0.1, 0.55, 0.999)]
[0.0, 0.5, 1.0, 0.5, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from gpunn.names import look_up, unknown
from gpunn.training.history import Record, as_loss

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

Schedule: TypeAlias = Callable[[float], float]  # from progress in [0, 1) to a factor of the learning rate


def constant(progress: float) -> float:
    """Keep the learning rate: the factor is 1."""
    return 1.0


def step(drops: int = 3, factor: float = 0.1) -> Schedule:
    """Multiply by `factor` at each of `drops` evenly spaced moments of training.

    >>> halve = gpunn.schedules.step(drops=1, factor=0.5)
    >>> halve(0.0), halve(0.49), halve(0.5)
    (1.0, 1.0, 0.5)
    """
    return lambda progress: factor ** math.floor(progress * (drops + 1))


def exponential(final: float = 0.01) -> Schedule:
    """Decay from 1 to `final` exponentially: final^progress."""
    return lambda progress: final**progress


def cosine(final: float = 0.0) -> Schedule:
    """Decay from 1 to `final` along half a cosine (Loshchilov and Hutter 2017, equation 5, no restarts)."""
    return lambda progress: final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def warmup(share: float = 0.05, then: Schedule = constant) -> Schedule:
    """Rise linearly from 0 during the first `share` of training, then follow another schedule.

    Raises:
        ValueError: if the share is not between 0 and 1.
    """
    _check_share(share)
    return lambda progress: progress / share if progress < share else then((progress - share) / (1 - share))


def one_cycle(share: float = 0.3, start: float = 0.04, final: float = 4e-6) -> Schedule:
    """Rise from `start` to 1 during the first `share` of training, then fall to `final`, along cosines.

    This is the one-cycle policy of Smith and Topin 2019.

    Raises:
        ValueError: if the share is not between 0 and 1.
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
    """Multiply by `factor` after every `patience` epochs in a row without a better `metric`.

    This schedule follows the records of one training run, so do not share it between runs.

    Args:
        factor: what the learning rate is multiplied by each time, between 0 and 1.
        patience: the number of epochs, at least 1.
        metric: a field of `gpunn.Record`. Higher accuracies and scores are better; anything else is better
            when it is lower.

    Raises:
        ValueError: if there is no such metric or a number is out of range; in training, if the metric is not
            measured.

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
        """Take note of an epoch. `Network.fit` calls this after each one."""
        loss = as_loss(record, self.metric)
        self.best, self.waited = (loss, 0) if loss < self.best else (self.best, self.waited + 1)
        if self.waited >= self.patience:
            self.current, self.waited = self.current * self.factor, 0

    def state(self) -> tuple[dict[str, Any], Any]:
        """Return what changes in training, for checkpoints."""
        return {"current": self.current, "best": self.best, "waited": self.waited}, None

    def restore(self, values: Mapping[str, Any], array: Any = None) -> None:
        """Go back to what `state` returned."""
        self.current, self.best, self.waited = values["current"], values["best"], values["waited"]


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, not {share}")


# The schedules by name, each with its default settings, for `fit(schedule=NAME)` and --schedule.
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
    """Look up a schedule by name, with its default settings; return anything else unchanged."""
    if isinstance(schedule, str):
        return look_up(SCHEDULES, schedule, "schedule")()
    if isinstance(schedule, type) or not (schedule is None or callable(schedule)):
        raise ValueError(f"schedule must be a name or a function of progress in [0, 1), not {schedule!r}")
    return schedule
