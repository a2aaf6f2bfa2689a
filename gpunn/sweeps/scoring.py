"""The metric by which networks and settings are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpunn.names import name_in
from gpunn.sweeps.members import Member
from gpunn.sweeps.outcome import Outcome, kept_record
from gpunn.training.history import MEASURES
from gpunn.training.stopping import EarlyStopping


@dataclass(frozen=True)
class Metric:
    """A measure of the networks' records, and whether more of it is better."""

    name: str

    @property
    def higher(self) -> bool:
        """Whether higher is better."""
        return self.name.endswith(("accuracy", "score"))

    def loss(self, score: float) -> float:
        """Return a score with the sign that makes less better, and infinity for NaN."""
        return math.inf if math.isnan(score) else -score if self.higher else score

    def of(self, outcome: Outcome, stop: EarlyStopping | None) -> float:
        """Return the score of a network with the weights that it has; NaN if it was not trained."""
        if outcome.theta is None or not outcome.history.records or not outcome.trained:
            return math.nan
        value: float | None = getattr(kept_record(outcome.history.records, stop), self.name)
        return math.nan if value is None else value


def choose(name: str | None, *, scored: bool, validated: bool, classes: bool) -> Metric:
    """Return the metric of this name; None takes the first that is measured of score, accuracy and loss.

    Raises ValueError if it is unknown or will not be measured.
    """
    measured = ["validation_score"] * scored
    measured += ["validation_accuracy"] * (validated and classes) + ["validation_loss"] * validated
    measured += ["accuracy"] * classes + ["loss"]
    if name is None:
        return Metric(measured[0] if measured[0] != "accuracy" else "loss")
    name = name_in(MEASURES, name, "metric")
    if name not in measured:
        raise ValueError(f"metric {name} is not measured: choose from {', '.join(measured)}")
    return Metric(name)


def mean_scores(
    members: Sequence[Member], scores: Mapping[int, float], candidates: Sequence[int]
) -> dict[int, float]:
    """Return each candidate's mean score over seeds and folds; NaN if one of its networks has no score."""
    found: dict[int, float] = {}
    for candidate in candidates:
        own = [scores.get(member.index, math.nan) for member in members if member.candidate == candidate]
        found[candidate] = math.fsum(own) / len(own) if all(map(math.isfinite, own)) else math.nan
    return found
