"""`Network.fit`: check the options and the examples, build a training run from them, and run it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
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
from gpunn.training.agreeing import agree, part_to_read, share_machine, start_alike
from gpunn.training.checkpoint import CheckpointWriter
from gpunn.training.checkpoint_files import Checkpoints
from gpunn.training.fit_options import Block, FitOptions, Score, ScoreFunction
from gpunn.training.history import History, Record
from gpunn.training.identity import describe_run, fingerprint
from gpunn.training.loop import Diverged, Evaluation, Training
from gpunn.training.progress import ProgressDisplay
from gpunn.training.ranks import MpiRanks, Signals, ranks_of
from gpunn.training.reach import warn_out_of_reach
from gpunn.training.signals import sigterm_as_ctrl_c
from gpunn.training.sources import BlockStream, ExampleSource, InMemory, Learner
from gpunn.training.splitting import stratified_split
from gpunn.training.streamed import Stream, Streamed, balanced
from gpunn.training.trainable import Trainable


def fit(net: Trainable, X: Any, y: ArrayLike | None, options: FitOptions) -> History:
    """Train the network on X and y, or on the blocks X if y is None.

    The network has the learnt weights however training ends.
    """
    ranks = ranks_of(options.communicator)
    if ranks is None:
        return run(net, X, y, options)
    with ranks.guard(Diverged):
        return run(net, X, y, options, ranks)


def run(
    net: Trainable, X: Any, y: ArrayLike | None, options: FitOptions, ranks: MpiRanks | None = None
) -> History:
    """Train the network, together with the other ranks if there are any."""
    training = prepare(net, X, y, options, ranks=ranks)
    net.learnt_labels = isinstance(training.source, InMemory) and training.source.has_labels
    theta, checkpoints, m = training.theta, training.checkpoints, training.source.m
    callbacks = options.callbacks
    done = checkpoints.epochs_done if checkpoints else 0
    show = options.verbose and (ranks is None or ranks.rank == 0)
    with (
        ProgressDisplay(m, options.epochs, show=show, done=done) as bar,
        Signals(checkpoints is not None) if ranks else nullcontext() as signals,
        nullcontext() if ranks else sigterm_as_ctrl_c(checkpoints is not None),
    ):

        def tell(record: Record) -> bool:
            bar.epoch(record)
            if callbacks:
                net.theta[:] = training.be.memory.download(theta)
            answers = [callback(record) for callback in callbacks]
            return any(answer is True for answer in answers)

        def on_epoch_end(record: Record) -> bool:
            if ranks is None:
                return tell(record)
            ranks.check_same({"θ": fingerprint(training.be.memory.download(theta))})
            if ranks.any(bool(signals and signals.received)):
                raise KeyboardInterrupt
            return ranks.from_first(lambda: tell(record))

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
    net: Trainable,
    X: Any,
    y: ArrayLike | None,
    options: FitOptions,
    sharing: Sharing | None = None,
    ranks: MpiRanks | None = None,
) -> Training:
    """Check everything, and load the network and the examples onto the device.

    sharing: what the network shares with others. ranks: those that train together.
    """
    if isinstance(X, Stream) and str(options.class_weight) == "balanced":
        options = replace(options, class_weight=balanced(X))
    described = X.description if isinstance(X, Stream) else ""
    if ranks is None:
        given = check_all(net, X, y, options)
        checkpoints = open_checkpoints(net, given, options, described)
        return load_all(net, X, given, options, checkpoints, sharing)
    given = ranks.together(lambda: check_all(net, X, y, options, part_to_read(X, ranks)))
    agree(net, given, options, ranks)
    checkpoints = open_checkpoints(net, given, options, described, ranks)
    start_alike(net, options, ranks)
    options = share_machine(options, ranks)
    ranks.together(lambda: choose_backend(net, options))
    return ranks.together(lambda: load_all(net, X, given, options, checkpoints, ranks=ranks))


def check_all(
    net: Trainable, X: Any, y: ArrayLike | None, options: FitOptions, own: slice = slice(None)
) -> CheckedExamples | None:
    """Check the options and the examples; return the examples, None for blocks. own: the examples to read."""
    options.check(net.sizes[0], blocks=y is None)
    given = None if y is None else check(net, options, X, y, options.sample_weight, own)
    if given:
        warn_out_of_reach(net.layers[-1].f, given.y, stacklevel=7)  # the caller of `Network.fit`
    options.check_metric(classes=given is None or given.y.labels is not None)
    optimizers.get(options.optimizer)
    return given


def load_all(
    net: Trainable,
    X: Any,
    given: CheckedExamples | None,
    options: FitOptions,
    checkpoints: CheckpointWriter | None,
    sharing: Sharing | None = None,
    ranks: MpiRanks | None = None,
) -> Training:
    """Load the network and the examples onto the device."""
    be = choose_backend(net, options)
    if ranks:
        ranks.check_same({"device": be.name})
        be.join(ranks)
    algorithms = be.note_algorithms()
    model = replace(net.bind(be, given.y if given else None), ranks=ranks)
    learner = bind_learner(model, optimizers.get(options.optimizer), net.rng, options)
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


def choose_backend(net: Trainable, options: FitOptions) -> Backend:
    """Choose the backend by the options."""
    return backends.choose(options.device, net.dtype, options.precision, options.threads)


def bind_learner(
    model: BoundModel, optimizer: Optimizer, rng: np.random.Generator, options: FitOptions
) -> Learner:
    """Bind the optimizer to the model's θ."""
    ranks = {"ranks": model.ranks} if model.ranks else {}
    return Learner(
        model,
        optimizer.bind(model.be, model.theta, **ranks),
        int(options.batch_size),
        rng,
        options.arrange,
        options.augmentation,
        scheduled=options.schedule is not None,
    )


def check(
    net: Trainable,
    options: FitOptions,
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    own: slice = slice(None),
) -> CheckedExamples:
    """Check training examples. Raises ValueError if they do not suit the network, its cost or the options."""
    weights = sample_weight, options.class_weight
    return check_examples(X, y, net.sizes, net.cost, *weights, options.label_smoothing, own)


def block_check(net: Trainable, options: FitOptions) -> Callable[[Block], CheckedExamples]:
    """Return the check of each block, which warns once of targets out of reach."""
    warned = False

    def checked(block: Block) -> CheckedExamples:
        nonlocal warned
        given = check_block(net, options, block)
        warned = warned or warn_out_of_reach(net.layers[-1].f, given.y, stacklevel=12)
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
    net: Trainable,
    given: CheckedExamples | None,
    options: FitOptions,
    stream: str = "",
    ranks: MpiRanks | None = None,
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
    return CheckpointWriter(chosen, description, net.meta, net.rng, resume=options.resume, ranks=ranks)


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
