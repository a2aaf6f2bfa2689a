"""Train by mini-batches: the solvers adam and sgd."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from gpunn.estimators import lockstep
from gpunn.estimators.building import batch_size, optimizer
from gpunn.estimators.fit import NOT_FINITE, Fit, Outcome
from gpunn.estimators.stopping import EpochMonitor
from gpunn.estimators.validation import Split
from gpunn.training.fit_options import Arrange, OptimizerState
from gpunn.training.history import Record
from gpunn.training.loop import Diverged
from gpunn.training.sources import Permutation


def train(
    fit: Fit, split: Split, state: OptimizerState, random: np.random.RandomState, *, epochs: int
) -> Outcome:
    """Train for at most so many epochs, continuing from the network's weights and the optimizer's state."""
    parameters, m = fit.parameters, len(split.train)
    mean_weight, size = fit.rows.mean_weight(split.train), batch_size(parameters, m)
    l2 = parameters.alpha / (size * mean_weight)
    monitor = EpochMonitor(fit, m, steps=-(-m // size), l2=l2)
    options: dict[str, Any] = {
        "batch_size": size,
        "shuffle": Permutation(_arrange(split.train, random if parameters.shuffle else None)),
        "validation": split.validation,
        "score": split.score,
        "sample_weight": fit.rows.relative_weights(mean_weight),
        "device": parameters.device,
        "precision": parameters.precision,
        "optimizer_state": state,
    }
    stopped = ""
    try:
        while fit.progress.n_iter < epochs and not stopped:
            stopped = _train_at_one_rate(fit, monitor, epochs, l2, options)
    except Diverged as error:
        return _after_divergence(fit, monitor, error)
    return Outcome(stopped, monitor.best)


def _after_divergence(fit: Fit, monitor: EpochMonitor, error: Diverged) -> Outcome:
    if monitor.best is None:
        raise ValueError(f"{NOT_FINITE} {error}") from None
    monitor.add_score(math.nan)
    fit.publish(fit.progress)
    message = f"training diverged, and the best weights before that are kept: {error}"
    return Outcome("diverged", monitor.best, message)


def _train_at_one_rate(
    fit: Fit, monitor: EpochMonitor, epochs: int, l2: float, options: dict[str, Any]
) -> str:
    """Train until the learning rate changes or training ends; return why it ended, or "".

    scikit-learn's velocity includes the learning rate of each step. gpunn's velocity is rescaled to match
    when the rate changes.
    """
    progress, state = fit.progress, options["optimizer_state"]
    rate, over = progress.learning_rate, False

    def after(record: Record) -> bool:
        nonlocal over
        ended_by_rule = monitor.ends_after(record)
        ended_by_callback = fit.ends_after(record)
        over = ended_by_rule or ended_by_callback
        return over or progress.learning_rate != rate

    # callbacks see one network after the other
    train = fit.network.fit if fit.callbacks else partial(lockstep.train, fit.network)
    history = train(
        fit.rows.X.T,
        fit.rows.targets,
        epochs=epochs - progress.n_iter,
        optimizer=optimizer(fit.parameters, rate, l2),
        on_epoch_end=after,
        **options,
    )
    if progress.learning_rate != rate:
        state |= {name: array * (rate / progress.learning_rate) for name, array in state.items()}
    return history.stopped if over or history.stopped != "callback" else ""


def _arrange(train: np.ndarray, random: np.random.RandomState | None) -> Arrange:
    """Return a function that permutes the previous epoch's order, drawn as scikit-learn draws it."""
    order = train

    def arrange(_: np.ndarray) -> np.ndarray:
        nonlocal order
        if random is not None:
            permutation = np.arange(len(order))
            random.shuffle(permutation)
            order = order[permutation]
        return order

    return arrange
