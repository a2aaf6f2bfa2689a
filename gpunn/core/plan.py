"""Plans: what one pass over some examples does, bound once and run as often as it takes.

A *plan* is the flat list of bound calls for one chunk of mini-batches: gather, then feedforward,
back-propagation and update for each, then measure. An epoch of m examples runs one plan as often as it
fits and a second one for what is left, the short last mini-batch included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gpunn.core.backend import Backend, Examples, Pass
from gpunn.core.backprop import backpropagate, feedforward
from gpunn.core.optimizers import Update
from gpunn.core.parameters import Parameters
from gpunn.core.workspace import Chunk
from gpunn.functions.activations import Activation
from gpunn.functions.augmentation import Augmentation
from gpunn.functions.calls import Calls
from gpunn.functions.costs import Cost

FORWARD_BATCH = 512  # columns at a time where there is nothing to learn

Progress = Callable[[int], object]
Drawn: TypeAlias = "tuple[int, np.ndarray]"  # a key of random numbers, and an order of the examples


@dataclass(frozen=True)
class Model:
    """A network where a backend wants it."""

    be: Backend
    f: Sequence[Activation]  # f[l], l = 1…L; f[0] is not used
    cost: Cost
    theta: Parameters
    dropout: Sequence[float]  # of a[l], l = 0…L−1


@dataclass(frozen=True)
class Stage:
    """A plan, how many examples it handles, and how often an epoch runs it."""

    calls: Calls
    m: int
    times: int


def forward_batch(m: int) -> int:
    """How many of m columns at a time where there is nothing to learn: alike, so that one plan does."""
    return -(-m // -(-m // FORWARD_BATCH))


def chunks(be: Backend, m: int, batch_size: int, n_in: int) -> Iterator[tuple[list[int], int]]:
    """The mini-batch sizes of each plan of an epoch of m examples, and how often it runs."""
    steps = min(be.chunk_steps, max(1, be.chunk_bytes // (batch_size * n_in * be.dtype.itemsize)))
    times, rest = divmod(m, steps * batch_size)
    if times:
        yield [batch_size] * steps, times
    if rest:
        full, short = divmod(rest, batch_size)
        yield [batch_size] * full + ([short] if short else []), 1


def bind(
    model: Model,
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
    """One pass over m examples; it learns with an update, and collects the outputs if asked.

    scheduled: every step takes its learning rate from the pass. training: with dropout, and batches
    normalised by their own mean and variance. augmentation: of the images, before all else.
    """
    dropout = model.dropout if training else [0.0] * len(model.dropout)
    be, f, cost, stages = model.be, model.f, model.cost, []
    for batches, times in chunks(be, m, batch_size, model.theta.layout.sizes[0]):
        ws = Chunk(be, examples, model.theta.layout, f[1:], cost, batches, dropout, training, bool(update))
        labels = None if examples.labels is None else ws.labels
        calls = be.gather(examples, p, x=ws.x, y=ws.y, labels=ws.labels, weights=ws.weights)
        if augmentation:
            calls += be.distort(augmentation, ws.x, p)
        calls += all_at_once(model, ws, p, update, scheduled) or one_by_one(model, ws, p, update, scheduled)
        if examples.labels is not None or examples.targets is not None:
            calls += be.measure(cost, f[-1], ws.z, ws.a, ws.y, labels, p)
        if ws.weights is not None:
            calls += be.weigh_losses(ws.weights, p)
        if outputs is not None:
            calls += be.collect(ws.a, p, into=outputs)
        calls += be.advance(p, ws.m)
        stages.append(Stage(be.plan(calls), ws.m, times))
    return stages


def all_at_once(model: Model, ws: Chunk, p: Pass, update: Update | None, scheduled: bool) -> Calls | None:
    """The steps of a chunk, if the backend has a way of its own for such a network and such a rule."""
    rule = update.rule() if update else None
    if rule is None or any(ws.dropout) or any(model.theta.layout.normed):
        return None
    return model.be.all_steps(model.theta, model.f[1:], model.cost, rule, ws, p, scheduled)


def one_by_one(model: Model, ws: Chunk, p: Pass, update: Update | None, scheduled: bool) -> Calls:
    """The steps of a chunk, by the equations."""
    be, calls = model.be, []
    for step in ws.steps():
        if update and scheduled:
            calls += be.follow(update.rates, p)
        if update or not calls:
            calls += be.narrow(model.theta)
        calls += feedforward(be, model.theta, model.f, step, p)
        if update:
            calls += backpropagate(be, model.theta, model.f, model.cost, update, step)
        if scheduled or any(ws.dropout):
            calls += be.next_step(p)
    return calls


def run(stages: Sequence[Stage], progress: Progress | None = None) -> None:
    """Run an epoch's plans, or launch them: a device may then be some plans behind what progress hears.

    Overflow is no warning here: it shows in the losses.
    """
    with np.errstate(all="ignore"):
        for stage in stages:
            for _ in range(stage.times):
                for call in stage.calls:
                    call()
                if progress:
                    progress(stage.m)


class Round:
    """A model and some examples, bound: every call goes once over those of an order (m,), indices."""

    def __init__(self, model: Model, examples: Examples, m: int, batch_size: int, **how: Any) -> None:
        self.be, self.p = model.be, model.be.new_pass(m)
        self.stages = bind(model, examples, self.p, m, batch_size, **how)

    def __call__(
        self,
        order: np.ndarray,
        etas: np.ndarray | None = None,
        key: int = 0,
        progress: Progress | None = None,
        look_ahead: Callable[[], Drawn] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each example's loss (m,) and hit (m,), until the next call.

        look_ahead(): the key and the order that the next one will most likely come with, asked for before the
        losses are there.
        """
        self.be.begin(self.p, order, etas, key)
        run(self.stages, progress)
        if look_ahead:
            key, order = look_ahead()
            self.be.expect(self.p, order, key)
        return self.be.results(self.p)
