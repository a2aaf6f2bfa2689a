"""What `Network.fit` does: what it was asked for is checked, lessons are made of it, and it is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gpunn import backends
from gpunn.core import optimizers
from gpunn.core.inputs import CheckedExamples, ClassWeight, check_examples, dense
from gpunn.core.optimizers import Optimizer
from gpunn.functions.augmentation import Augmentation
from gpunn.training import loop, schedules
from gpunn.training.checkpoint import Checkpoints, Keeper, described, fingerprint, sigterm_as_ctrl_c
from gpunn.training.history import Callback, History, Record
from gpunn.training.loop import Evaluation, OptimizerState, Score
from gpunn.training.progress import ProgressBar
from gpunn.training.schedules import ReduceOnPlateau, Schedule
from gpunn.training.sources import Arrange, Block, Learner, Lessons, Loaded, Streamed
from gpunn.training.splitting import stratified_split
from gpunn.training.stopping import EarlyStopping

if TYPE_CHECKING:
    from gpunn.network import Network

Pair: TypeAlias = "tuple[ArrayLike, ArrayLike]"  # X (n_in, m) and y
Validation: TypeAlias = "float | np.ndarray | list[int] | range | Pair | None"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `Network.fit` was asked for; its docstring says what each means."""

    epochs: int
    batch_size: int
    optimizer: str | Optimizer
    schedule: str | Schedule | None
    augmentation: Augmentation | None
    shuffle: bool | Arrange
    validation: Validation
    score: Score | None
    stop: EarlyStopping | None
    sample_weight: ArrayLike | None
    class_weight: ClassWeight | None
    label_smoothing: float
    device: str
    precision: str | None
    verbose: bool
    on_epoch_end: Callback | Sequence[Callback] | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: int
    keep: int
    resume: bool
    optimizer_state: OptimizerState | None

    def check(self, n_in: int, *, blocks: bool) -> None:
        """ValueError where its parts do not go together, with n_in inputs, or with blocks of examples."""
        for name in ("epochs", "batch_size"):
            if not isinstance(value := getattr(self, name), int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.score and self.validation is None:
            raise ValueError("score needs a validation set: give fit validation=…")
        if self.augmentation:
            self.augmentation.check(n_in)
        if blocks:
            self._check_of_blocks()
        if self.resume and self.checkpoint is None:
            raise ValueError("resume needs the folder of the checkpoints: checkpoint=FOLDER")

    def _check_of_blocks(self) -> None:
        """Of which only one is at hand at a time."""
        if self.sample_weight is not None:
            raise ValueError("blocks bring their sample weights with them: (X, y, sample_weight) each")
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all examples at once, not blocks: give {label: weight}"
            )
        if not (self.validation is None or isinstance(self.validation, tuple)):
            raise ValueError("nothing can be held out of blocks: give fit validation=(X, y)")

    @property
    def arrange(self) -> Arrange | None:
        """What brings the examples into an order; None for the generator."""
        return self.shuffle if callable(self.shuffle) else None if self.shuffle else np.asarray

    @property
    def callbacks(self) -> Sequence[Callback]:
        return [self.on_epoch_end] if callable(self.on_epoch_end) else self.on_epoch_end or ()


def fit(net: Network, X: Any, y: ArrayLike | None, asked: Asked) -> History:
    """Train the network on X and y, or on the blocks X where y is None."""
    asked.check(net.sizes[0], blocks=y is None)
    given = None
    if y is not None:
        weights = asked.sample_weight, asked.class_weight
        given = check_examples(X, y, net.sizes, net.cost, *weights, asked.label_smoothing)
    if asked.stop:
        classes = given is None or given.y.labels is not None
        asked.stop.check(asked.validation is not None, classes=classes, scored=asked.score is not None)
    chosen = optimizers.get(asked.optimizer)
    keeper = None
    if asked.checkpoint is not None:
        kept = Checkpoints(Path(asked.checkpoint), asked.checkpoint_every, asked.keep)
        keeper = Keeper(kept, description(net, given, asked), net.meta, net.rng, resume=asked.resume)
    be = backends.choose(asked.device, net.dtype, asked.precision)
    model = net._on(be, given.y if given else None)
    update = chosen.bind(be, model.theta)
    learner = Learner(
        model,
        update,
        int(asked.batch_size),
        net.rng,
        asked.arrange,
        asked.augmentation,
        scheduled=asked.schedule is not None,
    )
    if given is None:
        lessons: Lessons = Streamed(learner, X, partial(check_block, net, asked))
        return learn(net, learner, lessons, evaluation_of(net, learner, asked), None, keeper, asked)
    return learn(net, learner, *lessons_of(net, learner, given, asked), keeper, asked)


def check_block(net: Network, asked: Asked, block: Block) -> CheckedExamples:
    """A block of examples, if they go with the network and its cost."""
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        kind = type(block).__name__ + (f" of {len(block)}" if isinstance(block, tuple) else "")
        raise ValueError(f"a block must be a tuple (X, y) or (X, y, sample_weight), not {kind}")
    X, y, sample_weight = (*block, None)[:3]
    weights = sample_weight, asked.class_weight
    given = check_examples(dense(X), y, net.sizes, net.cost, *weights, asked.label_smoothing)
    if net.cost.pairs_with == "softmax" and not given.y.distributions:
        raise ValueError(f"{net.cost.name} needs blocks whose targets sum to 1 for each example")
    return given


def lessons_of(
    net: Network, learner: Learner, given: CheckedExamples, asked: Asked
) -> tuple[Lessons, Evaluation | None, int]:
    """What to learn from, where all examples are at hand; what to validate on; how many they are."""
    examples, order = given.load(learner.model.be), np.arange(given.X.shape[1])
    if asked.validation is None or isinstance(asked.validation, tuple):
        evaluation = evaluation_of(net, learner, asked)
    else:
        order, held_out = stratified_split(asked.validation, given.y.labels, len(order), net.rng)
        plain = replace(examples, smoothing=0.0, weights=None)
        evaluation = Evaluation(learner.model, plain, held_out, asked.score)
    return Loaded(learner, examples, order), evaluation, len(order)


def evaluation_of(net: Network, learner: Learner, asked: Asked) -> Evaluation | None:
    """On a validation set of its own, if there is one."""
    if not isinstance(asked.validation, tuple):
        return None
    given = check_examples(*asked.validation, net.sizes, net.cost)
    return Evaluation(learner.model, given.load(learner.model.be), np.arange(given.X.shape[1]), asked.score)


def learn(
    net: Network,
    learner: Learner,
    lessons: Lessons,
    evaluation: Evaluation | None,
    m: int | None,
    keeper: Keeper | None,
    asked: Asked,
) -> History:
    """Train, showing how far it is; whatever ends it, the network has what was learnt."""
    be, theta, done = learner.model.be, learner.model.theta.flat, keeper.epochs_done if keeper else 0
    with (
        ProgressBar(m, asked.epochs, show=asked.verbose, done=done) as bar,
        sigterm_as_ctrl_c(keeper is not None),
    ):

        def after(record: Record) -> bool:
            bar.epoch(record)
            if asked.callbacks:
                net.theta[:] = be.download(theta)
            answers = [callback(record) for callback in asked.callbacks]
            return any(answer is True for answer in answers)

        try:
            return loop.train(
                learner,
                lessons,
                epochs=asked.epochs,
                optimizer_state=asked.optimizer_state,
                schedule=schedules.get(asked.schedule),
                evaluation=evaluation,
                stop=asked.stop,
                keeper=keeper,
                progress=bar.update,
                on_epoch_end=after,
            )
        finally:
            net.theta[:] = be.download(theta)


# what a run is, for whoever goes on with it


def description(net: Network, given: CheckedExamples | None, asked: Asked) -> dict[str, str]:
    """All that has to be the same when a run is resumed, by name."""
    return {
        "network": repr(net),
        "first weights": ", ".join(layer.initializer for layer in net.layers),
        **({} if net.seed is None else {"seed": str(net.seed)}),  # who gives none takes any
        "dropout": str(net.dropout),
        "batch normalisation": str(net.layout.normed),
        **described_data(given, asked.class_weight),
        "label smoothing": str(asked.label_smoothing),
        "validation": described_validation(asked.validation),
        "batch size": str(asked.batch_size),
        "optimizer": described(optimizers.get(asked.optimizer)),
        "augmentation": described(asked.augmentation),
        "schedule": described_schedule(asked.schedule, asked.epochs),
        "order": described(asked.shuffle),
        "early stopping": described(asked.stop),
        "precision": asked.precision or str(net.dtype),
    }


def described_data(given: CheckedExamples | None, class_weight: ClassWeight | None) -> dict[str, str]:
    """Blocks are not known before they come."""
    if given is None:
        return {"data set": "blocks", "weights": str(class_weight)}
    X, labels, targets, weights = given.arrays()
    return {"data set": fingerprint(X, labels, targets), "weights": fingerprint(weights)}


def described_validation(validation: Validation) -> str:
    if validation is None or isinstance(validation, float | int):
        return described(validation)
    return fingerprint(*(validation if isinstance(validation, tuple) else [validation]))


def described_schedule(schedule: str | Schedule | None, epochs: int) -> str:
    """All but a plateau's depend on how many epochs there are."""
    follows = schedule is not None and not isinstance(schedules.get(schedule), ReduceOnPlateau)
    return described(schedule) + (f" over {epochs} epochs" if follows else "")
