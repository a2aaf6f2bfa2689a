"""Train the members of a sweep, wherever there is a place for it, and keep what is finished."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from gpunn.sweeps.devices import kind
from gpunn.sweeps.engine import Job, Workers, shares
from gpunn.sweeps.executors import ExecutorPool, WorkersEnded
from gpunn.sweeps.halving import Halving
from gpunn.sweeps.members import Member
from gpunn.sweeps.outcome import Outcome
from gpunn.sweeps.preparing import Prepared
from gpunn.sweeps.scoring import mean_scores
from gpunn.sweeps.store import Store
from gpunn.sweeps.training import Pause, train_in_batches, train_members
from gpunn.training.history import History


class Report(Protocol):
    """A function called with each network that is finished, and whether it was on file before the sweep."""

    def __call__(self, member: Member, outcome: Outcome, *, on_file: bool) -> object: ...


@dataclass
class Trainer:
    """Everything that training the members needs, and what has come out until now.

    Attributes:
        store: the folder of the sweep, if there is one.
        report: called with each network that is finished; it ends the sweep by returning True.
        outcomes: the outcomes, by the number of the member.
        dropped: the candidates that successive halving has dropped.
        broken: why the executor's workers have ended before the sweep; empty if they have not.
    """

    prepared: Prepared
    store: Store | None
    report: Report
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    broken: str = ""

    def run(self, executor: Executor | None) -> bool:
        """Train all members; return whether something ended it: Ctrl-C, a report that returned True, or the
        end of all workers.
        """
        prepared, folder = self.prepared, self.store.folder if self.store else None
        with Workers(prepared.data, executor, folder if executor else None) as workers:
            self.workers = workers
            try:
                if prepared.halving is None:
                    self.train(prepared.members)
                else:
                    with folder_of_states(folder) as states:
                        self.halve(prepared.halving, states)
                        shutil.rmtree(states, ignore_errors=True)
            except KeyboardInterrupt:
                return True
            except WorkersEnded as error:
                self.broken = str(error)
                return True
        return False

    def train(self, members: Sequence[Member], pause: Pause | None = None) -> None:
        """Train members that are not on file, up to a pause or to their last epoch.

        Raises KeyboardInterrupt after Ctrl-C; the outcomes are those until then.
        """
        recipe, data = self.prepared.recipe, self.prepared.data
        left = [member for member in members if not self._is_on_file(member, pause)]
        if not self.prepared.on_device:
            work = partial(train_members, recipe=recipe, pause=pause)
            take = partial(self._take, pause=pause)
            divide = self._by_shape if left and self._workers_have_gpus() else None
            self.workers.run(Job(work, partial(recipe.seconds, data=data), take, _lost, divide), left)
            return
        for group in recipe.alike(left, data):
            for batch in train_in_batches(group, recipe, data, pause):
                self._take_all(batch, pause)

    def _workers_have_gpus(self) -> bool:
        """Whether the executor's workers train on GPUs; the first that answers speaks for all."""
        recipe, pool = self.prepared.recipe, self.workers.pool if self.workers.executor else None
        if not isinstance(pool, ExecutorPool) or recipe.base.options.device == "cpu":
            return False
        return (
            pool.call(kind, recipe.base.options.device, recipe.dtype, recipe.base.options.precision) == "cuda"
        )

    def _by_shape(self, members: Sequence[Member], workers: int) -> list[list[Member]]:
        """Divide members among workers that train networks of one shape at the same time."""
        groups = self.prepared.recipe.alike(members, self.prepared.data)
        return [share for group in groups for share in shares(group, workers)]

    def _is_on_file(self, member: Member, pause: Pause | None) -> bool:
        """Take the outcome of an earlier sweep, if the folder holds it."""
        found = self.store.find(member, self._epochs(member, pause)) if self.store else None
        if found:
            self.outcomes[member.index] = found
            self._tell(member, on_file=True)
        return found is not None

    def _take_all(self, known: Iterable[tuple[Member, Outcome]], pause: Pause | None) -> None:
        """Keep the outcomes of networks trained at the same time, even if one of them ends the sweep."""
        ended = False
        for member, outcome in known:
            try:
                self._take(member, outcome, pause)
            except KeyboardInterrupt:
                ended = True
        if ended:
            raise KeyboardInterrupt

    def _take(self, member: Member, outcome: Outcome, pause: Pause | None) -> None:
        """Keep an outcome. Raises KeyboardInterrupt if the sweep ends with it."""
        if before := self.outcomes.get(member.index):  # an earlier round
            outcome = replace(outcome, seconds=before.seconds + outcome.seconds)
            if outcome.theta is None:  # what was recorded begins where that round ended
                records = [*before.history, *outcome.history]
                outcome = replace(outcome, history=History(before.history.device, records))
        self.outcomes[member.index] = outcome
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        if self.store:
            self.store.keep(member, self._epochs(member, pause), outcome)
        self._tell(member)

    def _tell(self, member: Member, *, on_file: bool = False) -> None:
        """Report a network, unless it will be trained further."""
        outcome = self.outcomes[member.index]
        if outcome.status != "paused" and self.report(member, outcome, on_file=on_file) is True:
            raise KeyboardInterrupt

    def _epochs(self, member: Member, pause: Pause | None) -> int:
        return pause.epoch if pause else self.prepared.recipe.of(member).options.epochs

    # successive halving

    def halve(self, halving: Halving, states: Path) -> None:
        """Train in rounds, and drop the settings that are worst after each."""
        members, metric, epochs = self.prepared.members, self.prepared.metric, self.prepared.epochs
        staying = list(dict.fromkeys(member.candidate for member in members))
        for end in halving.rounds(len(staying), epochs):
            self.train(
                [m for m in members if m.candidate in staying and self._goes_on(m)], Pause(end, states)
            )
            if end < epochs:
                means = self._means(staying)
                staying.sort(key=lambda candidate: metric.loss(means[candidate]))  # stable
                self._drop(staying[halving.stay(len(staying)) :])
                staying = [candidate for candidate in staying if candidate not in self.dropped]

    def _goes_on(self, member: Member) -> bool:
        """Whether a member can be trained further."""
        return member.index not in self.outcomes or self.outcomes[member.index].status == "paused"

    def _means(self, candidates: Sequence[int]) -> dict[int, float]:
        """Return the mean score of each candidate."""
        members, metric, recipe = self.prepared.members, self.prepared.metric, self.prepared.recipe
        scores = {
            m.index: metric.of(self.outcomes[m.index], recipe.of(m).options.stop)
            for m in members
            if m.index in self.outcomes
        }
        return mean_scores(members, scores, candidates)

    def _drop(self, candidates: Sequence[int]) -> None:
        """Mark the networks of settings that do not stay."""
        self.dropped |= set(candidates)
        for member in self.prepared.members:
            outcome = self.outcomes[member.index]
            if member.candidate in candidates and outcome.status == "paused":
                self.outcomes[member.index] = replace(outcome, status="dropped")
                self._tell(member)


@contextmanager
def folder_of_states(folder: Path | None) -> Iterator[Path]:
    """Give the folder of the states between rounds; without a sweep's folder it is a temporary one."""
    if folder:
        yield folder / "states"
        return
    with tempfile.TemporaryDirectory(prefix="gpunn-sweep-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def _lost(member: Member, reason: str) -> Outcome:
    """Make the outcome of a member whose worker died twice."""
    return Outcome("failed", message=f"its process ended twice: {reason}")
