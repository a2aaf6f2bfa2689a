"""`gpunn.sweep`: train hundreds of networks with different settings, seeds and folds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, DTypeLike

from gpunn.core.layers import Dense
from gpunn.functions.costs import Cost
from gpunn.names import counted
from gpunn.sweeps.data import Folds
from gpunn.sweeps.halving import Halving
from gpunn.sweeps.preparing import Asked, Prepared, check_keys, prepare
from gpunn.sweeps.progress import OnNetworkEnd, SweepProgress
from gpunn.sweeps.result import SweepResult
from gpunn.sweeps.settings import Grid
from gpunn.sweeps.store import Store
from gpunn.sweeps.trainer import Trainer
from gpunn.training.fit_options import FitOptions


def sweep(
    X: ArrayLike,
    y: ArrayLike,
    layers: Sequence[Dense],
    cost: str | Cost | None = None,
    *,
    grid: Grid | None = None,
    n: int | None = None,
    seeds: int | Iterable[int] = 1,
    folds: Folds = None,
    halving: int | Halving | None = None,
    metric: str | None = None,
    random_state: int = 0,
    dtype: DTypeLike = "float32",
    input_dropout: float = 0.0,
    executor: Executor | None = None,
    on_network_end: OnNetworkEnd | None = None,
    options: FitOptions | None = None,
    **changes: Any,
) -> SweepResult:
    """Train a network for each combination of settings, seed and fold.

    Each network equals the one that is trained by itself with its settings and its seed: bitwise on a CPU
    (without compiled kernels, with threads=1), to 1e-5 on CUDA. On a CPU, worker processes train one
    network a core. They share the data and stay for later sweeps; a short sweep does without them. On
    CUDA, the device trains the networks.

    A network that diverges is a row of the table that says so. Ctrl-C ends the sweep and keeps what is
    finished. So does the end of all workers of an executor, with a warning.

    Args:
        X: (n_0, m), one example a column, as in `Network.fit`.
        y: class labels (m,) or targets (n_L, m), as in `Network.fit`.
        layers: layers 1…L of the networks, the last one the output.
        cost: a name or a `Cost`, as in `Network`.
        grid: {setting: values}, or a list of such dictionaries; all combinations are trained. Settings are
            `hidden` (a tuple of sizes), `activation`, `init`, `dropout` and `batch_norm` of the hidden
            layers, `input_dropout`, the settings of the optimizer (`learning_rate`, `momentum`, `l2`, `l1`,
            `max_norm`, …), and the options epochs, batch_size, optimizer, schedule, augmentation, shuffle,
            stop, class_weight, label_smoothing and precision.
        n: how many combinations to draw at random; a setting's values may then be a distribution of
            `scipy.stats`.
        seeds: the random seeds, or their number; every combination is trained with each of them.
        folds: the number of folds for cross-validation, stratified if y is classes, or the splits: pairs of
            indices to train on and to validate on. A worker keeps a copy of the fold that it trains on.
        halving: successive halving: a factor, or a `Halving`.
        metric: the measure by which networks are compared. None takes the first of validation_score,
            validation_accuracy, validation_loss and loss that is measured.
        random_state: the random seed of the combinations that are drawn and of the folds.
        dtype: "float32" or "float64".
        input_dropout: the share of the inputs that is dropped in training.
        executor: any `concurrent.futures.Executor`, such as a Dask client's; its workers train the networks,
            each on a device of its own, and get the data once.
        on_network_end: called with a `NetworkEnd` for each finished network. The sweep ends if it returns
            True.
        options: the options of `Network.fit` for all networks; options by name replace those in `options`.
            Here `checkpoint` is a folder with a file for each finished network, and with `resume` these are
            not trained again. `verbose` shows the progress of the sweep.

    Raises:
        TypeError: if there is no such option; the message has the nearest match.
        ValueError: if a setting is unknown or out of range, the data does not suit the networks, or the
            folder is another sweep's. All of it is checked before anything trains.
        RuntimeError: if every network failed, or the executor's workers ended before one was finished; the
            message says why.
        BackendError: if the device is not available.

    >>> digits = gpunn.datasets.load("digits").train
    >>> layers = [gpunn.Dense(16, "relu"), gpunn.Dense(10, "softmax")]
    >>> grid = {"learning_rate": [0.01, 0.1], "l2": [0, 1e-4]}
    >>> result = gpunn.sweep(digits.X, digits.y, layers, grid=grid, seeds=2, epochs=3, optimizer="sgd",
    ...                      validation=0.2)
    >>> len(result.table), result.best.settings["learning_rate"], result.best.metric
    (8, 0.1, 'validation_accuracy')
    >>> result.network(0).fit(digits.X, digits.y, epochs=1).seconds > 0
    True
    """
    chosen = (options or FitOptions()).changed(changes)
    asked = Asked(layers, cost, dtype, input_dropout, grid, n, seeds, folds, halving, metric, random_state)
    prepared = prepare(X, y, asked, chosen, here=executor is None)
    result = train(prepared, chosen, executor, on_network_end)
    if result.broken:
        _warn_of_end(result, chosen)
    return result


def train(
    prepared: Prepared,
    options: FitOptions,
    executor: Executor | None = None,
    on_network_end: OnNetworkEnd | None = None,
) -> SweepResult:
    """Train a sweep that is prepared with these options."""
    store = _open_store(prepared, options)
    with SweepProgress(prepared, on_network_end, show=options.verbose) as report:
        trainer = Trainer(prepared, store, report)
        interrupted = trainer.run(executor)
    _check_any(trainer)
    return SweepResult(
        prepared.members,
        prepared.metric.name,
        interrupted,
        prepared.recipe,
        trainer.outcomes,
        frozenset(trainer.dropped),
        trainer.broken,
    )


def _check_any(trainer: Trainer) -> None:
    """Raise RuntimeError if no network could be trained: the cause is then not one network's settings."""
    outcomes = trainer.outcomes.values()
    if trainer.broken and not outcomes:
        raise RuntimeError(trainer.broken)
    if outcomes and all(outcome.status == "failed" for outcome in outcomes):
        raise RuntimeError(f"no network could be trained: {next(iter(outcomes)).message}")


def _warn_of_end(result: SweepResult, options: FitOptions) -> None:
    """Warn that the workers have ended before the sweep."""
    todo = (
        "call it again with resume=True" if options.checkpoint else "with checkpoint=FOLDER, it could go on"
    )
    counts = f"{result.finished:,} of {counted(len(result), 'network')} are finished"
    warnings.warn(f"{result.broken}; {counts}: {todo}", RuntimeWarning, stacklevel=3)


def _open_store(prepared: Prepared, options: FitOptions) -> Store | None:
    """Open the folder of the sweep, if there is one."""
    if options.checkpoint is None:
        return None
    check_keys(prepared.members)
    return Store(Path(options.checkpoint), prepared.about(), resume=options.resume)
