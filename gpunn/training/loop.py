"""Training: epoch after epoch of lessons, each with a record, until it is time to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from gpunn.core.backend import Examples
from gpunn.core.optimizers import Update
from gpunn.core.plan import Model, Progress, Round, forward_batch
from gpunn.training.checkpoint import Keeper, State
from gpunn.training.history import Callback, History, Record
from gpunn.training.schedules import ReduceOnPlateau, Schedule
from gpunn.training.sources import Learner, Lessons
from gpunn.training.stopping import EarlyStopping, Watch

ADVICE = "try a smaller learning rate, or inputs scaled to about ±1"

Score = Callable[[np.ndarray], float]  # of outputs (n_out, m); better when more
OptimizerState = dict[str, np.ndarray]  # velocity, moments, steps, each flat, by name


class Diverged(FloatingPointError):
    """The cost became NaN or infinite; the message has the epoch, the step, and what to try."""


class Evaluation:
    """Loss, accuracy and score of a model over some examples, `order`, bound once, run after every epoch.

    keep: the outputs, for whoever asks after them.
    """

    def __init__(
        self,
        model: Model,
        examples: Examples,
        order: np.ndarray,
        score: Score | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.be, self.order, self.score = model.be, order, score
        self.has_labels = examples.labels is not None
        self.outputs = self.be.matrix(model.theta.layout.sizes[-1], len(order)) if score or keep else None
        self.round = Round(model, examples, len(order), forward_batch(len(order)), outputs=self.outputs)

    def __call__(self) -> tuple[float, float | None, float | None]:
        losses, hits = self.round(self.order)
        score = float(self.score(self.be.download(self.outputs))) if self.score else None
        return mean(losses), mean(hits) if self.has_labels else None, score


def mean(values: np.ndarray) -> float:
    """In float64; infinite where even their sum is too large for that."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean(values, dtype=np.float64))


def train(
    learner: Learner,
    lessons: Lessons,
    *,
    epochs: int,
    optimizer_state: OptimizerState | None = None,
    schedule: Schedule | None = None,
    evaluation: Evaluation | None = None,
    stop: EarlyStopping | None = None,
    keeper: Keeper | None = None,
    progress: Progress | None = None,
    on_epoch_end: Callback | None = None,
) -> History:
    """Train the learner's θ for some epochs.

    Ctrl-C ends it and keeps what was learnt; stop may end it, and on_epoch_end by returning True.
    optimizer_state: to go on from, if it holds one, and to be left in. keeper: keeps checkpoints, or goes on
    from one. Raises Diverged when the cost is no longer finite, with θ as it was before that epoch.
    """
    be, theta, update = learner.model.be, learner.model.theta.flat, learner.update
    history = History(be.description)
    if optimizer_state:
        take_up(optimizer_state, update)
    watch = Watch(stop, be, theta) if stop else None
    if keeper:
        keeper.begin(State(be, theta, update.state(), learner.rng, history, schedule, watch))
    try:
        for epoch in range(len(history) + 1, epochs + 1):
            if watch and watch.over:
                history.stopped = "early"
                break
            record = one_epoch(learner, lessons, epoch, epochs, schedule, evaluation, progress)
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
        if not np.isfinite(be.download(theta)).all():
            raise Diverged(f"the weights overflowed in the last step of epoch {len(history)}: {ADVICE}")
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    if keeper:
        keeper.flush()
    if watch:
        watch.restore()
    if optimizer_state is not None:
        optimizer_state |= {name: be.download(array) for name, array in update.state().items()}
    return history


def one_epoch(
    learner: Learner,
    lessons: Lessons,
    epoch: int,
    epochs: int,
    schedule: Schedule | None,
    evaluation: Evaluation | None,
    progress: Progress | None,
) -> Record:
    """All the lessons once, and what the model knows then."""

    def rates(begin: float, end: float, steps: int) -> np.ndarray | None:
        first, last = ((epoch - 1 + part) / epochs for part in (begin, end))
        return schedule and learner.update.chosen.learning_rate * learning_rates(schedule, first, last, steps)

    be, theta = learner.model.be, learner.model.theta.flat
    before = be.copy(theta)
    start = time.perf_counter()
    losses, hits = lessons.epoch(rates, progress)
    seconds = time.perf_counter() - start
    loss = mean(losses)
    if not np.isfinite(loss):
        be.copy(before, into=theta)
        raise Diverged(_advice(losses, epoch, learner.batch_size))
    accuracy = None if hits is None else mean(hits)
    val_loss, val_accuracy, val_score = evaluation() if evaluation else (None, None, None)
    return Record(epoch, loss, accuracy, val_loss, val_accuracy, seconds, len(losses) / seconds, val_score)


def take_up(state: OptimizerState, update: Update) -> None:
    """Go on from what an earlier update of the same kind left. ValueError where it was another kind."""
    arrays = update.state()
    if {name: a.shape for name, a in state.items()} != {name: a.shape for name, a in arrays.items()}:
        raise ValueError(
            "optimizer_state is of another optimizer or another network: begin with an empty one"
        )
    for name, array in arrays.items():
        update.be.restore(state[name], into=array)


def learning_rates(schedule: Schedule, first: float, last: float, steps: int) -> np.ndarray:
    """The schedule's factor for each of so many steps between two moments of training."""
    return np.array([schedule(first + (last - first) * k / steps) for k in range(steps)])


def _advice(losses: np.ndarray, epoch: int, batch_size: int) -> str:
    first = int(np.argmax(np.where(np.isfinite(losses), losses, np.inf)))
    return f"the cost became {losses[first]} in epoch {epoch}, step {first // batch_size + 1}: {ADVICE}"
