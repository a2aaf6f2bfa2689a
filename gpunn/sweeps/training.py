"""Train members: the seam between a sweep and the ways in which networks are trained."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpunn.names import one_line
from gpunn.sweeps.data import Data
from gpunn.sweeps.members import Member, Recipe
from gpunn.sweeps.outcome import Outcome
from gpunn.training.history import History, Record
from gpunn.training.loop import Diverged

#: How a member ended, by `History.stopped`.
STATUSES = {"": "done", "early": "early", "callback": "paused", "interrupted": "interrupted"}


@dataclass(frozen=True)
class Pause:
    """Train until this epoch, and keep the whole state in a folder, to go on from there later.

    Attributes:
        epoch: the last epoch to train for now; schedules still span all of `epochs`.
        states: the folder of the states, with a folder for each member.
    """

    epoch: int
    states: Path


def train_members(
    members: Sequence[Member], recipe: Recipe, data: Data, pause: Pause | None = None
) -> Iterator[Outcome]:
    """Train members, and yield the outcome of each, in their order.

    Every outcome equals that of `recipe.network(member).fit(…, recipe.options(member, data))`: bitwise on a
    CPU, to 1e-5 on CUDA. An outcome is yielded as soon as it is known, since Ctrl-C keeps what was yielded.

    This is the one place that decides how networks are trained. On CUDA, all members in a call have the same
    `recipe.shape`, so a kernel that trains many networks in one launch can take the place of this loop: from
    `recipe.network(member)` it takes θ and the generator `rng` that draws each epoch's order, and from
    `recipe.options` everything else. Members that it cannot train (an option or a rule that it does not know)
    are left to the loop.
    """
    for member in members:
        yield train(member, recipe, data, pause)


def train(member: Member, recipe: Recipe, data: Data, pause: Pause | None = None) -> Outcome:
    """Train one member by `Network.fit`. Errors become outcomes, so that other members are not affected."""
    start = time.perf_counter()
    records: list[Record] = []

    def take(record: Record) -> bool:
        records.append(record)
        return pause is not None and pause.epoch <= record.epoch < options.epochs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said already, when the candidates were checked
        net, (X, y, _) = recipe.network(member), data.of(member.fold)
        options = replace(recipe.options(member, data), on_epoch_end=take)
        if pause:
            state = pause.states / member.digest
            options = replace(options, checkpoint=state, checkpoint_every=options.epochs, keep=1, resume=True)
        try:
            history = net.fit(X, y, options)
        except Exception as error:
            status = "diverged" if isinstance(error, Diverged) else "failed"
            ended = History("", records)
            return Outcome(status, ended, None, time.perf_counter() - start, message=one_line(error))
    seconds = time.perf_counter() - start
    status = STATUSES[history.stopped]
    return Outcome(status, history, net.theta.copy(), seconds, net.learnt_labels)
