"""`Network.fit`: check the options and the examples, build a training run from them, and run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpunn import backends
from gpunn.core import optimizers
from gpunn.core.backend import Backend
from gpunn.core.examples import Examples
from gpunn.core.inputs import CheckedExamples, check_examples, dense
from gpunn.core.optimizers import Optimizer
from gpunn.core.plan import BoundModel
from gpunn.training import schedules
from gpunn.training.checkpoint import Checkpoints, CheckpointWriter
from gpunn.training.fit_options import Block, FitOptions, Score, ScoreFunction
from gpunn.training.history import History, Record
from gpunn.training.identity import describe_run
from gpunn.training.loop import Evaluation, Training
from gpunn.training.progress import ProgressDisplay
from gpunn.training.reach import warn_out_of_reach
from gpunn.training.signals import sigterm_as_ctrl_c
from gpunn.training.sources import BlockStream, ExampleSource, InMemory, Learner
from gpunn.training.splitting import stratified_split
from gpunn.training.streamed import Stream, Streamed
from gpunn.training.trainable import Trainable


def fit(net: Trainable, X: Any, y: ArrayLike | None, options: FitOptions) -> History:
    """Train the network on X and y, or on the blocks X if y is None.

    The network has the learnt weights however training ends.
    """
    training = prepare(net, X, y, options)
    net.learnt_labels = isinstance(training.source, InMemory) and training.source.has_labels
    theta, checkpoints, m = training.theta, training.checkpoints, training.source.m
    callbacks = options.callbacks
    done = checkpoints.epochs_done if checkpoints else 0
    with (
        ProgressDisplay(m, options.epochs, show=options.verbose, done=done) as bar,
        sigterm_as_ctrl_c(checkpoints is not None),
    ):

        def on_epoch_end(record: Record) -> bool:
            bar.epoch(record)
            if callbacks:
                net.theta[:] = training.be.memory.download(theta)
            answers = [callback(record) for callback in callbacks]
            return any(answer is True for answer in answers)

        try:
            return training.run(bar.update, on_epoch_end)
        finally:
            net.theta[:] = training.be.memory.download(theta)
            if isinstance(training.source, BlockStream | Streamed):
                net.learnt_labels = training.source.has_labels


class Sharing:
    """Examples that several networks share, so that they are loaded once."""

    def __init__(self) -> None:
        self.loaded: dict[int, tuple[CheckedExamples, Examples]] = {}

    def examples(self, given: CheckedExamples, be: Backend) -> Examples:
        """Return the examples in the backend's memory."""
        known = self.loaded.get(id(given.X))
        if known is None or not given.equals(known[0]):
            self.loaded[id(given.X)] = known = given, given.load(be)
        return replace(known[1], smoothing=given.smoothing)


def prepare(
    net: Trainable, X: Any, y: ArrayLike | None, options: FitOptions, sharing: Sharing | None = None
) -> Training:
    """Check everything, and load the network and the examples onto the device.

    sharing: what the network shares with others.
    """
    options.check(net.sizes[0], blocks=y is None)
    given = None if y is None else check(net, options, X, y, options.sample_weight)
    if given:
        warn_out_of_reach(net.layers[-1].f, given.y, stacklevel=5)  # the caller of `Network.fit`
    options.check_metric(classes=given is None or given.y.labels is not None)
    optimizer = optimizers.get(options.optimizer)
    described = X.description if isinstance(X, Stream) else ""
    checkpoints = open_checkpoints(net, given, options, described)
    threads = options.threads or (1 if checkpoints and checkpoints.one_thread else None)
    be = backends.choose(options.device, net.dtype, options.precision, threads)
    algorithms = be.note_algorithms()
    learner = bind_learner(net.bind(be, given.y if given else None), optimizer, net.rng, options)
    if given is None:
        check_block = block_check(net, options)
        source: ExampleSource = (
            Streamed(learner, X, check_block)
            if isinstance(X, Stream)
            else BlockStream(learner, X, check_block)
        )
        evaluation = evaluate_pair(net, learner, options, sharing)
    else:
        source, evaluation = split(net, learner, given, options, sharing)
    return Training(
        learner,
        source,
        options.epochs,
        schedule=schedules.get(options.schedule),
        evaluation=evaluation,
        stop=options.stop,
        checkpoints=checkpoints,
        optimizer_state=options.optimizer_state,
        algorithms=algorithms,
    )


def bind_learner(
    model: BoundModel, optimizer: Optimizer, rng: np.random.Generator, options: FitOptions
) -> Learner:
    """Bind the optimizer to the model's θ."""
    return Learner(
        model,
        optimizer.bind(model.be, model.theta),
        int(options.batch_size),
        rng,
        options.arrange,
        options.augmentation,
        scheduled=options.schedule is not None,
    )


def check(
    net: Trainable, options: FitOptions, X: Any, y: ArrayLike, sample_weight: ArrayLike | None
) -> CheckedExamples:
    """Check training examples. Raises ValueError if they do not suit the network, its cost or the options."""
    weights = sample_weight, options.class_weight
    return check_examples(X, y, net.sizes, net.cost, *weights, options.label_smoothing)


def block_check(net: Trainable, options: FitOptions) -> Callable[[Block], CheckedExamples]:
    """Return the check of each block, which warns once of targets out of reach."""
    warned = False

    def checked(block: Block) -> CheckedExamples:
        nonlocal warned
        given = check_block(net, options, block)
        warned = warned or warn_out_of_reach(net.layers[-1].f, given.y, stacklevel=10)
        return given

    return checked


def check_block(net: Trainable, options: FitOptions, block: Block) -> CheckedExamples:
    """Check a block of examples, as `check` does."""
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        kind = type(block).__name__ + (f" of {len(block)}" if isinstance(block, tuple) else "")
        raise ValueError(f"a block must be a tuple (X, y) or (X, y, sample_weight), not {kind}")
    X, y, sample_weight = (*block, None)[:3]
    given = check(net, options, dense(X), y, sample_weight)
    if net.cost.needs_distributions and not given.y.distributions:
        raise ValueError(f"{net.cost.name} needs blocks whose targets sum to 1 for each example")
    return given


def open_checkpoints(
    net: Trainable, given: CheckedExamples | None, options: FitOptions, stream: str = ""
) -> CheckpointWriter | None:
    """Open the folder of the checkpoints, if there is one, and read the newest if the run is resumed.

    stream: the description of the stream of examples, if there is one.
    """
    if options.checkpoint is None:
        return None
    chosen = Checkpoints(Path(options.checkpoint), options.checkpoint_every, options.keep)
    description = describe_run(net, given, options)
    if stream:
        description["data set"] = stream
    return CheckpointWriter(chosen, description, net.meta, net.rng, resume=options.resume)


def split(
    net: Trainable, learner: Learner, given: CheckedExamples, options: FitOptions, sharing: Sharing | None
) -> tuple[ExampleSource, Evaluation | None]:
    """Load the examples, and divide them into those to train on and those held out for validation."""
    examples, order = load(given, learner, sharing), np.arange(given.X.shape[1])
    if options.validation is None or isinstance(options.validation, tuple):
        return InMemory(learner, examples, order), evaluate_pair(net, learner, options, sharing)
    order, held_out = stratified_split(options.validation, given.y.labels, len(order), net.rng)
    plain = replace(examples, smoothing=0.0, weights=None)
    evaluation = Evaluation(learner.model, plain, held_out, score_of(options, given, held_out))
    return InMemory(learner, examples, order), evaluation


def evaluate_pair(
    net: Trainable, learner: Learner, options: FitOptions, sharing: Sharing | None
) -> Evaluation | None:
    """Return the evaluation on `validation` if it is a pair (X, y)."""
    if not isinstance(options.validation, tuple):
        return None
    given = check_examples(*options.validation, net.sizes, net.cost)
    examples, order = load(given, learner, sharing), np.arange(given.X.shape[1])
    return Evaluation(learner.model, examples, order, score_of(options, given, order))


def score_of(options: FitOptions, given: CheckedExamples, order: np.ndarray) -> ScoreFunction | None:
    """Return the score as a function of the outputs for these examples."""
    if not isinstance(options.score, Score):
        return options.score
    y = given.y.targets if given.y.labels is None else given.y.labels
    assert y is not None
    return options.score.of(y[..., order])


def load(given: CheckedExamples, learner: Learner, sharing: Sharing | None) -> Examples:
    """Load examples onto the learner's device, unless they are there."""
    be = learner.model.be
    return sharing.examples(given, be) if sharing else given.load(be)
