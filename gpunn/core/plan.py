"""Plans: everything one pass over some examples does, bound once and run as often as needed.

A plan is the list of equations for one chunk of mini-batches: gather; then feedforward, back-propagation and
update for each mini-batch; then measure. An epoch of m examples runs one chunk's calls as often as it fits
and a second chunk's for the rest, the short last mini-batch included. A backend that repeats calls by itself
is given single steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gpunn.core import equations
from gpunn.core.backend import Backend
from gpunn.core.backprop import backpropagate, feedforward
from gpunn.core.equations import Equation
from gpunn.core.examples import Examples, Pass
from gpunn.core.parameters import Parameters
from gpunn.core.pass_equations import Advance, CollectOutputs, Distort, Gather, Measure, NextStep, WeighLosses
from gpunn.core.ranks import Ranks, positions, share_of
from gpunn.core.update import Update
from gpunn.core.vector_equations import RefreshLowPrecision, SetRates
from gpunn.core.workspace import Chunk
from gpunn.functions.activations import Activation
from gpunn.functions.augmentation import Augmentation
from gpunn.functions.calls import Calls
from gpunn.functions.costs import Cost

FORWARD_BATCH = 512  # columns at a time if there is nothing to learn,
CHUNKS = 8  # that networks trained at once share, each with a smaller one
FORWARD_INPUTS = 1 << 25  # unless they are so long that this many numbers are fewer columns

Progress = Callable[[int], object]
Drawn: TypeAlias = "tuple[int, np.ndarray]"  # a key of random numbers, and an order of the examples


@dataclass(frozen=True)
class BoundModel:
    """A network in a backend's memory.

    Attributes:
        f: f[l] for l = 1…L; f[0] is not used.
        dropout: the dropout of a[l], l = 0…L−1.
        ranks: the processes that share every mini-batch; None if there is one.
    """

    be: Backend
    f: Sequence[Activation]
    cost: Cost
    theta: Parameters
    dropout: Sequence[float]
    ranks: Ranks | None = None


@dataclass(frozen=True)
class Stage:
    """One chunk: its equations, the calls that compute them, its m examples, and how often it runs."""

    equations: Sequence[Equation]
    calls: Calls
    m: int
    times: int

    def __str__(self) -> str:
        """Print the equations of a step, each different line once."""
        return equations.text(self.equations)


def forward_batch(m: int, n_in: int, most: int = FORWARD_BATCH) -> int:
    """Split m columns into equal batches if there is nothing to learn, so that one plan serves them all."""
    most = max(1, min(most, FORWARD_INPUTS // n_in))
    return -(-m // -(-m // most))


def chunks(m: int, batch_size: int, steps: int) -> Iterator[tuple[list[int], int]]:
    """Yield the mini-batch sizes of each chunk of an epoch of m examples, and how often it runs.

    steps: the most that a chunk may have.
    """
    times, rest = divmod(m, steps * batch_size)
    if times:
        yield [batch_size] * steps, times
    if rest:
        full, short = divmod(rest, batch_size)
        yield [batch_size] * full + ([short] if short else []), 1


def chunk_steps(be: Backend, batch_size: int, n_in: int) -> int:
    """Return how many steps are gathered together; networks trained at once have several times the memory."""
    most = be.chunk_bytes * min(be.networks, CHUNKS) // be.networks
    return min(be.chunk_steps, max(1, most // (batch_size * n_in * be.memory.dtype.itemsize)))


def bind(
    model: BoundModel,
    examples: Examples,
    p: Pass,
    m: int,
    batch_size: int,
    *,
    update: Update | None = None,
    scheduled: bool = False,
    training: bool = False,
    augmentation: Augmentation | None = None,
    outputs: Any = None,
) -> list[Stage]:
    """Bind one pass over m examples; it learns if there is an update, and collects the outputs if asked.

    If several ranks share the mini-batches, this is the part of one of them.

    Args:
        scheduled: every step takes its learning rate from the pass.
        training: use dropout, and normalise batches by their own mean and variance.
        augmentation: how images are distorted before anything else.
        outputs: (n_L, m) buffer for the outputs, with as many columns as the rank has examples.
    """
    be, layout = model.be, model.theta.layout
    dropout = model.dropout if training else [0.0] * len(model.dropout)

    def say(batches: list[int]) -> list[Equation]:
        shares = [share_of(b, model.ranks) for b in batches]
        how = layout, model.f[1:], model.cost, shares, dropout, training, update is not None
        chunk = Chunk(be.memory, examples, *how, augmentation is not None)
        return [
            *begin_chunk(examples, chunk, p, augmentation),
            *steps(model, chunk, p, update, scheduled),
            *end_chunk(model, examples, chunk, p, outputs),
        ]

    if be.launch_steps and outputs is None and (stages := bind_launches(model, say, m, batch_size)):
        return stages
    if be.repeats and (stages := bind_repeated(be, say, m, batch_size)):
        return stages
    stages = []
    for batches, times in chunks(m, batch_size, chunk_steps(be, batch_size, layout.sizes[0])):
        said = say(batches)
        stages.append(Stage(said, be.plan(said), sum(batches), times))
    return stages


def bind_repeated(
    be: Backend, say: Callable[[list[int]], list[Equation]], m: int, batch_size: int
) -> list[Stage]:
    """Bind single steps, which the backend itself repeats; return nothing if it cannot."""
    stages = []
    for batches, times in chunks(m, batch_size, 1):
        said = say(batches)
        calls = be.plan(said)
        while times:
            found = be.repeat(calls, times)
            if found is None:
                return []
            repeated, steps = found
            stages.append(Stage(said, repeated, sum(batches) * steps, times // steps))
            times %= steps
    return stages


def bind_launches(
    model: BoundModel, say: Callable[[list[int]], list[Equation]], m: int, batch_size: int
) -> list[Stage]:
    """Bind the pass with few steps said, if the backend can do the others like these; else return nothing."""
    be, stages = model.be, []
    for batches, times in chunks(m, batch_size, be.launch_steps):
        said = say(sorted(set(batches), reverse=True))
        calls = be.plan_steps(said, sum(share_of(b, model.ranks).m for b in batches))
        if calls is None:
            return []
        stages.append(Stage(said, calls, sum(batches), times))
    return stages


def begin_chunk(
    examples: Examples, chunk: Chunk, p: Pass, augmentation: Augmentation | None
) -> Iterator[Equation]:
    """Gather the chunk's examples."""
    yield Gather(examples, p, chunk.x, chunk.y, chunk.labels, chunk.weights)
    if augmentation:
        yield Distort(augmentation, chunk.x, p)


def steps(
    model: BoundModel, chunk: Chunk, p: Pass, update: Update | None, scheduled: bool
) -> Iterator[Equation]:
    """One step for each mini-batch."""
    set_rates = SetRates(update.scalars, p) if update and scheduled else None
    refresh, next_step = RefreshLowPrecision(model.theta), NextStep(p)
    for k, batch in enumerate(chunk.mini_batches()):
        if set_rates:
            yield set_rates
        if update or k == 0:
            yield refresh
        yield from feedforward(model.theta, model.f, batch, p)
        if update:
            yield from backpropagate(model.theta, model.f, model.cost, update, batch)
        if scheduled or any(batch.dropout):
            yield next_step


def end_chunk(
    model: BoundModel, examples: Examples, chunk: Chunk, p: Pass, outputs: Any
) -> Iterator[Equation]:
    """Measure the chunk's outputs, and move on."""
    if examples.labels is not None or examples.targets is not None:
        labels = None if examples.labels is None else chunk.labels
        one_hot = labels is not None and examples.smoothing == 0
        yield Measure(model.cost, model.f[-1], chunk.z, chunk.a, chunk.y, labels, p, one_hot)
    if chunk.weights is not None:
        yield WeighLosses(chunk.weights, p)
    if outputs is not None:
        yield CollectOutputs(chunk.a, p, outputs)
    yield Advance(p, chunk.m)


def run(be: Backend, stages: Sequence[Stage], progress: Progress | None = None) -> None:
    """Run an epoch's stages, or launch them: a device may then lag some stages behind the progress shown.

    Overflow raises no warning here, because it shows in the losses.
    """
    with np.errstate(all="ignore"), be.threads:
        for stage in stages:
            for _ in range(stage.times):
                for call in stage.calls:
                    call()
                if progress:
                    progress(stage.m)


class Shared:
    """A pass over m examples of which each rank has the shares `own` of its mini-batches."""

    def __init__(self, ranks: Ranks, m: int, batch_size: int) -> None:
        self.ranks, self.m = ranks, m
        self.own, self.counted = positions(m, batch_size, ranks)
        self.last: tuple[np.ndarray, np.ndarray] | None = None  # an order, and this rank's part of it

    def of(self, order: np.ndarray) -> np.ndarray:
        """Return this rank's part of an order (m,); of the same order, the same array."""
        if self.last is None or self.last[0] is not order:
            self.last = order, order[self.own]
        return self.last[1]

    def join(self, found: np.ndarray) -> np.ndarray:
        """Return the results (m, …) of all ranks, of which these are one's own."""
        whole = np.zeros((self.m, *found.shape[1:]), np.uint8 if found.dtype == bool else found.dtype)
        whole[self.own[: self.counted]] = found[: self.counted]
        self.ranks.sum(whole)
        return whole.astype(found.dtype, copy=False)


class Plan:
    """A model and some examples, bound: each call makes one pass over them in a given order (m,).

    Ranks pass over their shares, and then all of them know all results. Printed, a plan is the equations of a
    step.

    epoch_steps: the number of steps of the epoch, if the pass is a part of it.
    """

    def __init__(
        self,
        model: BoundModel,
        examples: Examples,
        m: int,
        batch_size: int,
        *,
        epoch_steps: int | None = None,
        **how: Any,
    ) -> None:
        self.be, self.data = model.be, model.be.data
        self.shared = Shared(model.ranks, m, batch_size) if model.ranks else None
        own = self.shared.own if self.shared else None
        self.p = self.data.new_pass(m if own is None else len(own), epoch_steps, own)
        self.stages = bind(model, examples, self.p, m, batch_size, **how)

    def __call__(self, order: np.ndarray, key: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Make a pass; return each example's loss (m,) and hit (m,), which the next pass overwrites."""
        self.start(order, key=key)
        run(self.be, self.stages)
        return self.results()

    def start(self, order: np.ndarray, etas: np.ndarray | None = None, key: int = 0, step: int = 0) -> None:
        """Start a pass. step: the first step, counted from the beginning of the epoch."""
        self.data.start_pass(self.p, self._own(order), etas, key, step)

    def expect(self, key: int, order: np.ndarray) -> None:
        """Prepare for the key and the order that the next pass will most likely be given."""
        self.data.prefetch(self.p, self._own(order), key)

    def _own(self, order: np.ndarray) -> np.ndarray:
        """Return the part of the order that this process passes over."""
        return self.shared.of(order) if self.shared else order

    def results(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each example's loss (m,) and hit (m,); the next pass overwrites them."""
        losses, hits = self.data.results(self.p)
        return (self.shared.join(losses), self.shared.join(hits)) if self.shared else (losses, hits)

    def collected(self, outputs: Any) -> np.ndarray:
        """Return the outputs (n_L, m) of the pass, which are in this buffer of the backend."""
        found = self.be.memory.download(outputs)
        return self.shared.join(found.T).T if self.shared else found

    def __str__(self) -> str:
        return str(self.stages[0])


def together(plans: Sequence[Plan], be: Backend) -> list[Stage] | None:
    """Return stages that run all these plans of different models, once all are started.

    None if the backend has no way to do that.
    """
    of_each = [[(stage.m, stage.times) for stage in plan.stages] for plan in plans]
    if not plans or any(each != of_each[0] for each in of_each):
        return None
    stages = []
    for same in zip(*(plan.stages for plan in plans), strict=True):
        calls = be.together([stage.calls for stage in same])
        if calls is None:
            return None
        stages.append(Stage(same[0].equations, calls, same[0].m, same[0].times))
    return stages
