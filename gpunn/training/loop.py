"""The training loop: epoch after epoch, each with a record, until it is time to stop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from gpunn.core.examples import Examples
from gpunn.core.plan import BoundModel, Plan, Progress, forward_batch, run
from gpunn.core.update import Update
from gpunn.training.checkpoint import CheckpointWriter, TrainingState
from gpunn.training.fit_options import OptimizerState, ScoreFunction
from gpunn.training.history import Callback, History, Record, observes
from gpunn.training.schedules import Schedule
from gpunn.training.sources import ExampleSource, Learner, RateFunction
from gpunn.training.stopping import EarlyStopping, StoppingState

Measured: TypeAlias = "tuple[float, float | None, float | None]"  # loss, accuracy and score

DIVERGED = 1e9  # no weight is as large after one epoch of sound training
ADVICE = "try a smaller learning rate, or inputs scaled to about ±1"


class Diverged(FloatingPointError):
    """The cost became NaN or infinite; the message has the epoch, the step, and what to try."""


class Evaluation:
    """Measure loss, accuracy and score of a model over the examples `order`; bound once, run many times.

    keep: whether to keep the outputs even without a score.
    """

    def __init__(
        self,
        model: BoundModel,
        examples: Examples,
        order: np.ndarray,
        score: ScoreFunction | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.be, self.ranks, self.order, self.score = model.be, model.ranks, order, score
        self.has_labels = examples.labels is not None
        self.outputs = (
            self.be.memory.matrix(model.theta.layout.sizes[-1], len(order)) if score or keep else None
        )
        m, n_in = len(order), examples.X.shape[0]
        self.plan = Plan(model, examples, m, forward_batch(m, n_in), outputs=self.outputs)

    def __call__(self) -> Measured:
        self.plan.start(self.order)
        run(self.be, self.plan.stages)
        return self.measured()

    def measured(self) -> Measured:
        """Return what came out, once the plan has run."""
        losses, hits = self.plan.results()
        score = self._score(self.score) if self.score else None
        return mean(losses), mean(hits) if self.has_labels else None, score

    def _score(self, score: ScoreFunction) -> float:
        """Return the score; ranks take that of rank 0, since they must go on alike."""
        outputs = self.plan.collected(self.outputs)
        if self.ranks is None:
            return float(score(outputs))
        return self.ranks.from_first(lambda: float(score(outputs)))


def mean(values: np.ndarray) -> float:
    """Return the mean in float64; infinite if even the sum overflows float64."""
    if values.dtype == bool:
        return float(np.count_nonzero(values) / values.size)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.add.reduce(values, None, np.float64) / values.size)


@dataclass
class Training:
    """A training run: the model that learns, its examples, and what happens between epochs.

    optimizer_state: a dictionary to continue from, unless it is empty, and to update at the end.
    algorithms: see `History`.
    """

    learner: Learner
    source: ExampleSource
    epochs: int
    schedule: Schedule | None = None
    evaluation: Evaluation | None = None
    stop: EarlyStopping | None = None
    checkpoints: CheckpointWriter | None = None
    optimizer_state: OptimizerState | None = None
    algorithms: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.be, self.theta = self.learner.model.be, self.learner.model.theta.flat
        self.ranks = self.learner.model.ranks
        size = self.ranks.size if self.ranks else 1
        self.history = History(self.be.description, algorithms=self.algorithms, ranks=size)
        self.stopping = StoppingState(self.stop, self.be, self.theta) if self.stop else None
        self.before: Any = None  # θ before the epoch

    def run(self, progress: Progress | None = None, on_epoch_end: Callback | None = None) -> History:
        """Train until the last epoch, early stopping, Ctrl-C, or until on_epoch_end returns True.

        Raises Diverged if the cost is no longer finite; θ is then what it was before that epoch.
        """
        self.begin()
        try:
            while (epoch := self.next_epoch()) is not None:
                self.end_epoch(self.run_epoch(epoch, progress), on_epoch_end)
            self.check_weights()
        except KeyboardInterrupt:
            self.history.stopped = "interrupted"
        self.end()
        return self.history

    # the parts of `run`, in their order

    def begin(self) -> None:
        """Restore earlier state, if there is any."""
        if self.optimizer_state:
            restore_optimizer(self.optimizer_state, self.learner.update)
        candidates: dict[str, object] = {"plateau": self.schedule, "best": self.stopping}
        self.observers = {name: c for name, c in candidates.items() if observes(c)}
        if self.checkpoints:
            optimizer, rng = self.learner.update.state(), self.learner.rng
            state = TrainingState(self.be, self.theta, optimizer, rng, self.history, self.observers)
            self.checkpoints.begin(state)

    def next_epoch(self) -> int | None:
        """Return the number of the next epoch; None if training is over."""
        epoch = len(self.history) + 1
        if self.history.stopped or epoch > self.epochs:
            return None
        if self.stopping and self.stopping.over:
            self.history.stopped = "early"
            return None
        return epoch

    def keep_theta(self) -> Any:
        """Return a copy of θ, which the next one overwrites."""
        self.before = self.be.memory.copy(self.theta, into=self.before)
        return self.before

    def run_epoch(self, epoch: int, progress: Progress | None) -> Record:
        """Learn from all the examples once, then evaluate."""
        before = self.keep_theta()
        self.be.threads.take_used()
        start = time.perf_counter()
        losses, hits = self.source.learn(self.rates(epoch), progress)
        return self.record(epoch, before, losses, hits, time.perf_counter() - start)

    def record(
        self,
        epoch: int,
        before: Any,
        losses: np.ndarray,
        hits: np.ndarray | None,
        seconds: float,
        evaluated: Measured | None = None,
    ) -> Record:
        """Evaluate after an epoch that began with the θ `before`, unless that is done, and return its record.

        Raises Diverged if the loss is not finite; θ is then `before` again.
        """
        loss, threads = mean(losses), self.be.threads.take_used()
        if not np.isfinite(loss):
            self.be.memory.copy(before, into=self.theta)
            raise Diverged(_explain(losses, epoch, self.learner.batch_size))
        accuracy = None if hits is None else mean(hits)
        if evaluated is None and self.evaluation:
            evaluated = self.evaluation()
        val_loss, val_accuracy, val_score = evaluated or (None, None, None)
        if epoch == 1 and val_loss is not None and not np.isfinite(val_loss):
            self._warn_of(val_loss)
        speed = len(losses) / seconds
        found = Record(epoch, loss, accuracy, val_loss, val_accuracy, seconds, speed, val_score, threads)
        return self.ranks.from_first(lambda: found) if self.ranks else found

    def end_epoch(self, record: Record, on_epoch_end: Callback | None) -> None:
        """Keep the record, and tell it to everything that follows the epochs."""
        self.history.records.append(record)
        for observer in self.observers.values():
            observer.observe(record)
        if self.checkpoints:
            self.checkpoints.epoch_done()
        if on_epoch_end and on_epoch_end(record) is True:
            self.history.stopped = "callback"

    def check_weights(self) -> None:
        """Raise Diverged if the last step made the weights overflow."""
        if not np.isfinite(self.be.memory.download(self.theta)).all():
            epoch = len(self.history)
            raise Diverged(f"the weights overflowed in the last step of epoch {epoch}: {ADVICE}")

    def _warn_of(self, validation_loss: float) -> None:
        """Warn that the validation examples overflow, unless it is the weights that have diverged."""
        theta = self.be.memory.download(self.theta)
        if np.isfinite(theta).all() and np.abs(theta).max() < DIVERGED:
            warnings.warn(
                f"the validation loss is {validation_loss} in epoch 1: check the validation examples for "
                "numbers that are far larger than those to train on",
                stacklevel=2,
            )

    def rates(self, epoch: int) -> RateFunction:
        """Return a function for the learning rate of each step of a part of this epoch; None if constant."""

        def rates(begin: float, end: float, steps: int) -> np.ndarray | None:
            if self.schedule is None:
                return None
            first, last = ((epoch - 1 + part) / self.epochs for part in (begin, end))
            factors = [self.schedule(first + (last - first) * k / steps) for k in range(steps)]
            return self.learner.update.chosen.learning_rate * np.array(factors)

        return rates

    def end(self) -> None:
        """Write the last checkpoint, load the best θ, and hand back the optimizer's state."""
        self.history.algorithms = dict(self.algorithms)  # evaluations to come do not count
        if self.checkpoints:
            self.checkpoints.flush()
        if self.stopping:
            self.stopping.load_best()
        if self.optimizer_state is not None:
            state = self.learner.update.state()
            self.optimizer_state |= {name: self.be.memory.download(array) for name, array in state.items()}


def restore_optimizer(state: OptimizerState, update: Update) -> None:
    """Copy an earlier optimizer's state into this one. Raises ValueError if it was of another kind."""
    arrays = update.state()
    if {name: a.shape for name, a in state.items()} != {name: a.shape for name, a in arrays.items()}:
        raise ValueError(
            "optimizer_state belongs to another optimizer or another network: start with an empty one"
        )
    for name, array in arrays.items():
        update.be.memory.restore(state[name], into=array)


def _explain(losses: np.ndarray, epoch: int, batch_size: int) -> str:
    first = int(np.argmax(np.where(np.isfinite(losses), losses, np.inf)))
    return f"the cost became {losses[first]} in epoch {epoch}, step {first // batch_size + 1}: {ADVICE}"
