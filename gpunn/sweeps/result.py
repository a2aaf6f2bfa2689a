"""The result of a sweep: the table, the best settings, and every network."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gpunn.network import Network
from gpunn.sweeps import table
from gpunn.sweeps.ensemble import Ensemble
from gpunn.sweeps.members import Member, Recipe
from gpunn.sweeps.outcome import Outcome
from gpunn.sweeps.scoring import Metric, mean_scores
from gpunn.sweeps.settings import Settings, in_words, names_of
from gpunn.sweeps.table import Row, SweepTable
from gpunn.training.history import MEASURES, History

UNFINISHED = Outcome("interrupted")


@dataclass(frozen=True)
class Best:
    """The best settings of a sweep.

    Attributes:
        settings: the settings that vary, by name.
        score: the mean score of its networks over seeds and folds.
        metric: the measure that the score is.
        network: the number of its best network, for `SweepResult.network`.
    """

    settings: Settings
    score: float
    metric: str
    network: int

    def __str__(self) -> str:
        settings = in_words(self.settings) or "no settings vary"
        return f"{settings}: {self.metric.replace('_', ' ')} {self.score:.4g}"


@dataclass(frozen=True)
class SweepResult:
    """The result of `gpunn.sweep`.

    Attributes:
        members: the networks' settings, seeds and folds, in the order of the table.
        metric: the measure by which networks are compared; see `Best`.
        interrupted: whether Ctrl-C, or the end of all workers, ended the sweep. Networks that are not
            finished are rows that say so.
        broken: why all workers of the executor have ended before the sweep; empty if they have not.
    """

    members: Sequence[Member]
    metric: str
    interrupted: bool
    _recipe: Recipe
    _outcomes: Mapping[int, Outcome]
    _dropped: Collection[int] = ()  # candidates that successive halving dropped
    broken: str = ""

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        """Describe the outcome in a line."""
        trained = sum(outcome.trained for outcome in self._outcomes.values())
        return f"SweepResult({trained:,} of {len(self):,} networks trained)"

    @property
    def finished(self) -> int:
        """The number of networks that are finished, trained or failed."""
        return sum(row["status"] != "interrupted" for row in self.table)

    @cached_property
    def table(self) -> SweepTable:
        """A row a network: settings, seed, fold, last and best values, seconds, status."""
        names = names_of(member.settings for member in self.members)
        always = ["network", *names, "seed", "status"]
        return table.make([self._row(member, names) for member in self.members], always)

    def _row(self, member: Member, names: Sequence[str]) -> Row:
        outcome = self._outcomes.get(member.index, UNFINISHED)
        stop = self._recipe.of(member).options.stop
        values = outcome.values(stop)
        measures = [f"{best}{name}" for best in ("", "best_") for name in MEASURES]
        return {
            "network": member.index,
            **{name: member.settings.get(name) for name in names},
            "seed": member.seed,
            "fold": member.fold,
            "epochs_trained": len(outcome.history),
            **{name: values.get(name) for name in measures},
            "seconds": outcome.seconds,
            "status": outcome.status,
            "message": outcome.message,
        }

    @cached_property
    def scores(self) -> dict[int, float]:
        """The score of each network: the metric in the epoch whose weights it has; NaN without a network."""
        metric, found = Metric(self.metric), {}
        for member in self.members:
            stop = self._recipe.of(member).options.stop
            found[member.index] = metric.of(self._outcomes.get(member.index, UNFINISHED), stop)
        return found

    @cached_property
    def best(self) -> Best:
        """The settings with the best mean score over seeds and folds.

        Settings with a network that diverged or is not finished do not count, unless there are no others;
        nor do settings that successive halving dropped.

        Raises ValueError if no network was trained.
        """
        metric = Metric(self.metric)
        candidates = [c for c in range(len(self.settings)) if c not in self._dropped]
        means = mean_scores(self.members, self.scores, candidates)
        usable = {c: score for c, score in means.items() if not math.isnan(score)}
        if not usable:
            return self._best_network()
        candidate = min(usable, key=lambda c: metric.loss(usable[c]))
        own = [member.index for member in self.members if member.candidate == candidate]
        network = min(own, key=lambda i: metric.loss(self.scores[i]))
        return Best(self.settings[candidate], usable[candidate], self.metric, network)

    def _best_network(self) -> Best:
        """Return the settings of the best network, if no settings have all of theirs."""
        (first, *_) = self.ranked(1)
        return Best(self.members[first].settings, self.scores[first], self.metric, first)

    @cached_property
    def settings(self) -> list[Settings]:
        """The settings of each candidate."""
        return list({member.candidate: member.settings for member in self.members}.values())

    def ranked(self, k: int | None = None) -> list[int]:
        """Return the numbers of the k best networks, the best first; all of them if k is None.

        Raises ValueError if there are fewer.
        """
        metric = Metric(self.metric)
        usable = [i for i, score in self.scores.items() if not math.isnan(score)]
        if k is not None and not 1 <= k <= len(usable):
            raise ValueError(f"there are {len(usable):,} trained networks, not {k!r}")
        return sorted(usable, key=lambda i: metric.loss(self.scores[i]))[:k]

    def network(self, i: int) -> Network:
        """Return a network by its number in the table; it is an ordinary one.

        Raises ValueError if it was not trained.
        """
        outcome = self._outcome(i)
        if outcome.theta is None:
            raise ValueError(f"network {i} was not trained: {outcome.message or outcome.status}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the sweep began
            net = self._recipe.network(self.members[i])
        net.theta[:] = outcome.theta
        net.learnt_labels = outcome.learnt_labels
        return net

    def history(self, i: int) -> History:
        """Return the history of a network by its number in the table."""
        return self._outcome(i).history

    def ensemble(self, k: int = 5) -> Ensemble:
        """Return the k best networks, whatever their settings, as one predictor.

        Raises ValueError if fewer than k networks were trained.
        """
        return Ensemble([self.network(i) for i in self.ranked(k)])

    def _outcome(self, i: int) -> Outcome:
        if not 0 <= i < len(self):
            raise IndexError(f"networks count from 0 to {len(self) - 1}, so there is no network {i}")
        return self._outcomes.get(i, UNFINISHED)
