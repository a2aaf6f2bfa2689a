"""Training: an epoch is a permutation, a plan run many times, and a record.

A *plan* is the flat list of bound calls for one chunk of mini-batches: gather, then feedforward,
back-propagation and update for each, then measure. An epoch of m examples runs one plan as often as it
fits and a second one for what is left, the short last mini-batch included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.activations import Activation, Calls
from gpunn.augmentation import Augmentation
from gpunn.backends.base import Backend, Examples, Pass
from gpunn.backprop import backpropagate, feedforward
from gpunn.checkpoint import Keeper, State
from gpunn.costs import Cost
from gpunn.history import Callback, History, Record
from gpunn.optimizers import Optimizer, Update
from gpunn.parameters import Layout, Parameters
from gpunn.schedules import ReduceOnPlateau, Schedule
from gpunn.stopping import EarlyStopping, Watch
from gpunn.workspace import Chunk

FORWARD_BATCH = 512  # columns at a time where there is nothing to learn

ADVICE = "try a smaller learning rate, or inputs scaled to about ±1"

Progress = Callable[[int], object]


class Diverged(FloatingPointError):
    """The cost became NaN or infinite."""


@dataclass(frozen=True)
class Model:
    """A network where a backend wants it."""

    be: Backend
    layout: Layout
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
    for batches, times in chunks(be, m, batch_size, model.layout.sizes[0]):
        ws = Chunk(be, examples, model.layout, f[1:], cost, batches, dropout, training)
        labels = None if examples.labels is None else ws.labels
        calls = be.gather(examples, p, x=ws.x, y=ws.y, labels=ws.labels, weights=ws.weights)
        if augmentation:
            calls += be.distort(augmentation, ws.x, p)
        for step in ws.steps():
            calls += feedforward(be, model.theta, f, step, p)
            if update and scheduled:
                calls += be.follow(update.rates, p)
            if update:
                calls += backpropagate(be, model.theta, f, cost, update, step)
            if scheduled or any(dropout):
                calls += be.next_step(p)
        if examples.labels is not None or examples.targets is not None:
            calls += be.measure(cost, f[-1], ws.z, ws.a, ws.y, labels, p)
        if ws.weights is not None:
            calls += be.weigh_losses(ws.weights, p)
        if outputs is not None:
            calls += be.collect(ws.a, p, into=outputs)
        calls += be.advance(p, ws.m)
        stages.append(Stage(be.plan(calls), ws.m, times))
    return stages


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


class Shuffle:
    """Each epoch's order of the examples, and the key of its random numbers if it is `keyed`.

    `look_ahead` draws the next epoch's from a copy of the generator, while a device works: the generator
    itself is never further than the epoch that has begun, so a checkpoint or another fit does not notice.
    """

    def __init__(self, rng: np.random.Generator, order: np.ndarray, keyed: bool) -> None:
        self.rng, self.order, self.keyed = rng, order, keyed
        self.ahead: tuple[bytes, tuple[int, np.ndarray], dict[str, Any]] | None = None

    def next(self) -> tuple[int, np.ndarray]:
        """(key, order)."""
        ahead, self.ahead = self.ahead, None
        if ahead and ahead[0] == self._fingerprint():  # else somebody else has drawn from it
            self.rng.bit_generator.state = ahead[2]
            return ahead[1]
        return self._draw(self.rng)

    def look_ahead(self) -> None:
        copied = deepcopy(self.rng)
        self.ahead = self._fingerprint(), self._draw(copied), dict(copied.bit_generator.state)

    def _draw(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        key = int(rng.integers(1 << 32)) if self.keyed else 0
        return key, rng.permutation(self.order)

    def _fingerprint(self) -> bytes:
        """Of the generator's state, of whichever kind it is."""
        return deepcopy(self.rng).bytes(16)


class Evaluation:
    """Loss and accuracy of a model over some examples, `order`, bound once, run after every epoch."""

    def __init__(self, model: Model, examples: Examples, order: np.ndarray) -> None:
        self.be, self.p, self.order = model.be, model.be.new_pass(len(order)), order
        self.has_labels = examples.labels is not None
        self.stages = bind(model, examples, self.p, len(order), FORWARD_BATCH)

    def __call__(self) -> tuple[float, float | None]:
        self.be.begin(self.p, self.order)
        run(self.stages)
        losses, hits = self.be.results(self.p)
        return mean(losses), mean(hits) if self.has_labels else None


def mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64))


def train(
    model: Model,
    examples: Examples,
    order: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    rng: np.random.Generator,
    augmentation: Augmentation | None = None,
    schedule: Schedule | None = None,
    evaluation: Evaluation | None = None,
    stop: EarlyStopping | None = None,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    on_epoch_end: Callback | None = None,
) -> History:
    """Train the model's θ for some epochs on the examples of `order`, indices of any arrangement.

    Ctrl-C ends it and keeps what was learnt, and stop may. keeper: keeps checkpoints, or goes on from one.
    Raises Diverged when the cost is no longer finite, with θ as it was before that epoch.
    """
    be, m = model.be, len(order)
    history, p = History(be.description), be.new_pass(m)
    update = optimizer.bind(be, model.layout, model.theta)
    scheduled = schedule is not None
    how: dict[str, Any] = {"update": update, "scheduled": scheduled, "augmentation": augmentation}
    stages = bind(model, examples, p, m, batch_size, training=True, **how)
    watch = Watch(stop, be, model.theta.flat) if stop else None
    if keeper:
        keeper.begin(State(be, model.theta.flat, update.state(), rng, history, schedule, watch))
    steps = -(-m // batch_size)
    shuffle = Shuffle(rng, order, keyed=bool(augmentation) or any(model.dropout))
    try:
        for epoch in range(len(history) + 1, epochs + 1):
            if watch and watch.over:
                history.stopped = "early"
                break
            before = be.copy(model.theta.flat)
            start = time.perf_counter()
            etas = schedule and learning_rates(schedule, optimizer.learning_rate, epoch, epochs, steps)
            key, shuffled = shuffle.next()
            be.begin(p, shuffled, etas, key)
            run(stages, progress)
            if epoch < epochs:
                shuffle.look_ahead()
            losses, hits = be.results(p)
            seconds = time.perf_counter() - start
            if not np.isfinite(losses).all():
                be.copy(before, into=model.theta.flat)
                raise Diverged(_advice(losses, epoch, batch_size))
            accuracy = mean(hits) if examples.labels is not None else None
            val_loss, val_accuracy = evaluation() if evaluation else (None, None)
            record = Record(epoch, mean(losses), accuracy, val_loss, val_accuracy, seconds, m / seconds)
            history.records.append(record)
            if isinstance(schedule, ReduceOnPlateau):
                schedule.observe(record)
            if watch:
                watch.observe(record)
            if keeper:
                keeper.epoch_done()
            if on_epoch_end and on_epoch_end(record) is True:
                history.stopped = "callback"
                break
        if not np.isfinite(be.download(model.theta.flat)).all():
            raise Diverged(f"the weights overflowed in the last step of epoch {len(history)}: {ADVICE}")
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    if keeper:
        keeper.flush()
    if watch:
        watch.restore()
    return history


def learning_rates(schedule: Schedule, eta: float, epoch: int, epochs: int, steps: int) -> np.ndarray:
    """η for each of the epoch's steps."""
    first, all_steps = (epoch - 1) * steps, epochs * steps
    return np.array([eta * schedule((first + k) / all_steps) for k in range(steps)])


def _advice(losses: np.ndarray, epoch: int, batch_size: int) -> str:
    first = int(np.argmax(~np.isfinite(losses)))
    return f"the cost became {losses[first]} in epoch {epoch}, step {first // batch_size + 1}: {ADVICE}"
