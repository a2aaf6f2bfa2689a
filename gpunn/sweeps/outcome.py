"""The outcome of training one member: its history, its weights, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gpunn.training.history import MEASURES, History, Record, as_loss
from gpunn.training.stopping import EarlyStopping

TRAINED = ("done", "early", "dropped", "paused")  # the statuses of networks that can be used


@dataclass(frozen=True)
class Outcome:
    """How training a member ended.

    Attributes:
        status: "done"; "early" (early stopping); "dropped" (by successive halving); "paused" (between the
            rounds of successive halving); "diverged"; "failed" (an error, or its worker died twice);
            "interrupted" (Ctrl-C came before its end).
        history: the epochs that were trained.
        theta: all parameters as `Network.theta`; None if there is no network.
        seconds: wall-clock time, including validation.
        learnt_labels: whether it was trained on class labels.
        message: what went wrong, in one line.
    """

    status: str
    history: History = field(default_factory=lambda: History("cpu"))
    theta: np.ndarray | None = None
    seconds: float = 0.0
    learnt_labels: bool = False
    message: str = ""

    @property
    def trained(self) -> bool:
        """Whether there is a network to use."""
        return self.status in TRAINED

    def values(self, stop: EarlyStopping | None) -> dict[str, float | None]:
        """Return each measure of the epoch whose weights the network has, and the best of all epochs."""
        records = self.history.records
        if not records:
            return {}
        now = kept_record(records, stop)
        last = {name: getattr(now, name) for name in MEASURES}
        return last | {f"best_{name}": best_of(records, name) for name in MEASURES}


def kept_record(records: Sequence[Record], stop: EarlyStopping | None) -> Record:
    """Return the epoch whose weights are kept: the last one, or the best if early stopping restores it."""
    if stop is None or not stop.restore_best:
        return records[-1]
    best, kept = math.inf, records[-1]
    for record in records:
        if (loss := as_loss(record, stop.metric)) < best - stop.min_delta:
            best, kept = loss, record
    return kept


def best_of(records: Sequence[Record], measure: str) -> float | None:
    """Return the best value of a measure over all epochs; None if it was not measured."""
    measured = [record for record in records if getattr(record, measure) is not None]
    if not measured:
        return None
    best: float = getattr(min(measured, key=lambda record: as_loss(record, measure)), measure)
    return best
