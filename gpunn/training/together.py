"""Train many networks in lockstep: on a device that can, an epoch of all of them is one launch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from gpunn.core import plan
from gpunn.core.backend import Backend, BackendError
from gpunn.core.plan import Plan, Stage
from gpunn.training.candidates import Candidate, alike, at_once, backend_of
from gpunn.training.fit import Sharing, prepare
from gpunn.training.history import History, Record
from gpunn.training.loop import Training
from gpunn.training.sources import InMemory

Result: TypeAlias = "History | Exception"  # how the training of one network ended


@dataclass(eq=False)
class Run:
    """The training of one network among others.

    Attributes:
        result: how it ended; None while it goes on.
    """

    candidate: Candidate
    training: Training
    epoch: int | None = None
    result: Result | None = None

    @property
    def source(self) -> InMemory:
        return cast(InMemory, self.training.source)

    def goes_on(self) -> bool:
        """Return whether there is another epoch; end training if there is not."""
        if self.result is None:
            self.epoch = self.training.next_epoch()
            if self.epoch is None:
                self.end()
        return self.result is None

    def take(
        self,
        before: Any,
        losses: np.ndarray,
        hits: np.ndarray | None,
        seconds: float,
        evaluated: bool,
    ) -> None:
        """Record the results of an epoch that began with the θ `before`; an error ends only this run."""
        assert self.epoch
        try:
            evaluation = self.training.evaluation
            measured = evaluation.measured() if evaluation and evaluated else None
            record = self.training.record(self.epoch, before, losses, hits, seconds, measured)
            self.training.end_epoch(record, self.tell)
        except Exception as error:
            self.end(error)

    def tell(self, record: Record) -> bool:
        """Call the user's functions, while the network has its current weights."""
        self.load()
        answers = [callback(record) for callback in self.candidate.options.callbacks]
        return any(answer is True for answer in answers)

    def end(self, error: Exception | None = None, *, interrupted: bool = False) -> None:
        """End training as `Training.run` does."""
        history = self.training.history
        try:
            if interrupted:
                history.stopped = "interrupted"
            elif error is None:
                self.training.check_weights()
            if error is None:
                self.training.end()
        except Exception as late:
            error = late
        self.result = error or history
        self.load()

    def end_now(self, error: Exception | None = None, *, interrupted: bool = False) -> None:
        """End training unless it has ended."""
        if self.result is None:
            self.end(error, interrupted=interrupted)

    def load(self) -> None:
        """Copy the weights into the network."""
        net, training = self.candidate.net, self.training
        net.theta[:] = training.be.memory.download(training.theta)
        net.learnt_labels = self.source.has_labels


class Bound:
    """Plans that run together, bound anew when the plans change."""

    def __init__(self, be: Backend) -> None:
        self.be = be
        self.plans: list[Plan] = []
        self.stages: list[Stage] | None = None

    def of(self, plans: list[Plan]) -> list[Stage] | None:
        """Return the stages of these plans; None if they cannot run together."""
        if plans != self.plans:
            self.plans, self.stages = plans, plan.together(plans, self.be)
        return self.stages


class Lockstep:
    """Runs the epochs of several networks, whose orders are drawn by several threads."""

    def __init__(self, be: Backend, pool: ThreadPoolExecutor) -> None:
        self.be, self.pool = be, pool
        self.learning, self.evaluating = Bound(be), Bound(be)

    def stages(self, runs: Sequence[Run]) -> list[Stage] | None:
        """Return the stages of an epoch of these runs; None if they cannot run together."""
        return self.learning.of([run.source.plan for run in runs])

    def epoch(self, runs: Sequence[Run]) -> None:
        """Run an epoch of these networks, and give each run its results."""
        begun, stages = time.perf_counter(), self.stages(runs)
        assert stages is not None
        before = [run.training.keep_theta() for run in runs]
        for run, drawn in zip(runs, self.pool.map(lambda run: run.source.draws.next(), runs), strict=True):
            assert run.epoch
            run.source.start(run.training.rates(run.epoch), drawn)
        plan.run(self.be, stages)
        ahead = [run for run in runs if run.source.draws.useful]
        for run, drawn in zip(ahead, self.pool.map(lambda run: run.source.draws.look(), ahead), strict=True):
            run.source.plan.expect(*drawn)
        learnt = [run.source.results() for run in runs]
        seconds = (time.perf_counter() - begun) / len(runs)
        evaluated = self.evaluate(runs)
        for run, old, results in zip(runs, before, learnt, strict=True):
            run.take(old, *results, seconds, evaluated)

    def evaluate(self, runs: Sequence[Run]) -> bool:
        """Evaluate the networks together; return False, having done nothing, if that is impossible."""
        each = [run.training.evaluation for run in runs if run.training.evaluation]
        stages = self.evaluating.of([evaluation.plan for evaluation in each])
        if len(each) < len(runs) or stages is None:
            return False
        for evaluation in each:
            evaluation.plan.start(evaluation.order)
        plan.run(self.be, stages)
        return True


def fit(candidates: Sequence[Candidate]) -> list[Result] | None:
    """Train networks of one shape as `Network.fit` does, all at the same time.

    Returns the history of each network, or the error that ended its training; None, without having trained,
    if the device cannot train them together. The seconds of an epoch are divided among the networks. After
    Ctrl-C, every network keeps what it learnt, and the histories of those still learning say "interrupted".
    """
    be = backend_of(candidates[0])
    if at_once(candidates[0]) == 1:
        return None
    with ThreadPoolExecutor() as pool, sharing_the_device(be, len(candidates)):
        begun = begin_all(candidates, be)
        runs, lockstep = [run for run in begun if isinstance(run, Run)], Lockstep(be, pool)
        note_algorithms(runs, be)
        try:
            if runs and lockstep.stages(runs) is None:
                return None
            while going := [run for run in runs if run.goes_on()]:
                lockstep.epoch(going)
        except KeyboardInterrupt:
            for run in runs:
                run.end_now(interrupted=True)
        except BackendError as error:  # which each network would meet by itself
            for run in runs:
                run.end_now(error)
    return [ended(run) if isinstance(run, Run) else run for run in begun]


def note_algorithms(runs: Sequence[Run], be: Backend) -> None:
    """Let all histories share a record of the algorithms of the products that are bound from now on."""
    noted = be.note_algorithms()
    for run in runs:
        run.training.algorithms = run.training.history.algorithms = noted


def begin_all(candidates: Sequence[Candidate], be: Backend) -> list[Run | Exception]:
    """Prepare the networks; networks that may share a graph get memory side by side."""
    sharing, begun = Sharing(), {}
    for group in alike(candidates):
        with be.side_by_side(len(group)) as turn:
            for place, k in enumerate(group):
                turn(place)
                begun[k] = begin(candidates[k], sharing)
    return [begun[k] for k in range(len(candidates))]


def begin(candidate: Candidate, sharing: Sharing) -> Run | Exception:
    """Prepare a network, and restore earlier state if there is any; return the error if that fails."""
    try:
        training = prepare(candidate.net, candidate.X, candidate.y, candidate.options, sharing)
        training.begin()
    except Exception as error:  # in this network's options or files, which concerns no other network
        return error
    return Run(candidate, training)


def ended(run: Run) -> Result:
    """Return how a network's training ended."""
    assert run.result is not None
    return run.result


@contextmanager
def sharing_the_device(be: Backend, networks: int) -> Iterator[None]:
    """Tell the backend how many networks are trained together."""
    be.networks = networks
    try:
        yield
    finally:
        be.networks = 1
