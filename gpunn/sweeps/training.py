"""Train members: the seam between a sweep and the ways in which networks are trained."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpunn.names import one_line
from gpunn.sweeps import devices
from gpunn.sweeps.data import Data
from gpunn.sweeps.members import Member, Recipe
from gpunn.sweeps.outcome import Outcome
from gpunn.training import together
from gpunn.training.candidates import Candidate, at_once
from gpunn.training.fit_options import FitOptions
from gpunn.training.history import History, Record
from gpunn.training.loop import Diverged
from gpunn.training.trainable import Trainable

#: How a member ended, by `History.stopped`.
STATUSES = {"": "done", "early": "early", "callback": "paused", "interrupted": "interrupted"}


@dataclass(frozen=True)
class Pause:
    """Train until this epoch, and keep the whole state in a folder, to go on from there later.

    Attributes:
        epoch: the last epoch to train for now; schedules still span all of `epochs`.
        states: the folder of the states, with a folder for each member. A worker that does not share it
            trains from the start.
    """

    epoch: int
    states: Path


def train_members(
    data: Data, members: Sequence[Member], recipe: Recipe, pause: Pause | None = None
) -> Iterator[Outcome]:
    """Train members on this worker's device, and yield the outcome of each, in their order.

    Every outcome equals that of `recipe.network(member).fit(…, recipe.options(member, data))`: bitwise on a
    CPU, to 1e-5 on CUDA.
    """
    recipe, found = recipe.on(devices.own(recipe.base.options.device)), dict[int, Outcome]()
    for group in recipe.alike(members, data):
        for batch in train_in_batches(group, recipe, data, pause):
            found.update({member.index: outcome for member, outcome in batch})
    yield from (found[member.index] for member in members)


def train_in_batches(
    members: Sequence[Member], recipe: Recipe, data: Data, pause: Pause | None = None
) -> Iterator[list[tuple[Member, Outcome]]]:
    """Train members, and yield each with its outcome, in their order: those trained in lockstep at once.

    This is the one place that decides how networks are trained. On CUDA, all members in a call have the same
    `candidates.shape_of`, and those that a device can train at the same time are trained in lockstep. The
    caller takes no other batch after Ctrl-C.
    """
    left = list(members)
    while count := most_at_once(left, recipe, data):
        batch, left = left[:count], left[count:]
        outcomes = train_together(batch, recipe, data, pause)
        if outcomes is None:
            left = batch + left
            break
        yield list(zip(batch, outcomes, strict=True))
    for member in left:
        yield [(member, train(member, recipe, data, pause))]


def most_at_once(members: Sequence[Member], recipe: Recipe, data: Data) -> int:
    """Return how many of the members to train in lockstep; 0 if they are better trained one by one."""
    if len(members) < 2:
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said already, when the candidates were checked
        most = at_once(candidate_of(members[0], recipe, data))
    return most if most > 1 else 0


def candidate_of(member: Member, recipe: Recipe, data: Data) -> Candidate:
    """Return a member as it is trained in lockstep."""
    X, y, _ = data.of(member.fold)
    return Candidate(recipe.network(member), X, y, recipe.options(member, data))


def train_together(
    members: Sequence[Member], recipe: Recipe, data: Data, pause: Pause | None
) -> list[Outcome] | None:
    """Train members in lockstep; None, without having trained, if the device has no way to do that."""
    start = time.perf_counter()
    made: dict[int, Candidate] = {}
    followed: list[list[Record]] = [[] for _ in members]
    by_fold = sorted(range(len(members)), key=lambda k: members[k].fold or 0)  # each is taken out once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said already, when the candidates were checked
        for k in by_fold:
            own = candidate_of(members[k], recipe, data)
            made[k] = replace(own, options=follow(own.options, members[k], followed[k], pause))
        results = together.fit([made[k] for k in range(len(members))])
    if results is None:
        return None
    seconds = (time.perf_counter() - start) / len(members)
    return [
        outcome_of(made[k].net, result, records, seconds)
        for k, (result, records) in enumerate(zip(results, followed, strict=True))
    ]


def train(member: Member, recipe: Recipe, data: Data, pause: Pause | None = None) -> Outcome:
    """Train one member by `Network.fit`. Errors become outcomes, so that other members are not affected."""
    start = time.perf_counter()
    records: list[Record] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said already, when the candidates were checked
        net, (X, y, _) = recipe.network(member), data.of(member.fold)
        options = follow(recipe.options(member, data), member, records, pause)
        try:
            result: History | Exception = net.fit(X, y, options)
        except Exception as error:
            result = error
    return outcome_of(net, result, records, time.perf_counter() - start)


def follow(options: FitOptions, member: Member, records: list[Record], pause: Pause | None) -> FitOptions:
    """Return the options with which training collects its records, and pauses if it should."""

    def take(record: Record) -> bool:
        records.append(record)
        return pause is not None and pause.epoch <= record.epoch < options.epochs

    options = replace(options, on_epoch_end=take)
    if pause and pause.states.exists():
        state = pause.states / member.digest
        options = replace(options, checkpoint=state, checkpoint_every=options.epochs, keep=1, resume=True)
    return options


def outcome_of(net: Trainable, result: History | Exception, records: list[Record], seconds: float) -> Outcome:
    """Return the outcome of a training that ended with a history or with an error."""
    if isinstance(result, Exception):
        status = "diverged" if isinstance(result, Diverged) else "failed"
        return Outcome(status, History("", records), None, seconds, message=one_line(result))
    return Outcome(STATUSES[result.stopped], result, net.theta.copy(), seconds, net.learnt_labels)
