"""A training, whatever the kind of data."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpunn.cli import ensembles
from gpunn.cli.display import SweepDisplay
from gpunn.cli.output import say, warn
from gpunn.cli.runs import live_history
from gpunn.core.inputs import check_smoothing, check_weights, check_y
from gpunn.functions.augmentation import Augmentation
from gpunn.inspection.choosing import choose
from gpunn.network import Network
from gpunn.predictor import Predictor
from gpunn.report.findings import Findings
from gpunn.sweeps import averaging
from gpunn.sweeps.averaging import Trained
from gpunn.tables.decisions import Decision
from gpunn.tables.explaining import Explanation
from gpunn.training import class_weights, schedules
from gpunn.training.callbacks import JsonLines, TensorBoard
from gpunn.training.fit_options import FitOptions, Score
from gpunn.training.history import Callback, Record
from gpunn.training.loop import Diverged
from gpunn.training.progress import EpochLines
from gpunn.training.ranks import MpiRanks
from gpunn.training.settings import Settings


class Job(Protocol):
    """A data set to train on, and everything that depends on its kind.

    name: of the data, as the user gave it. folder: first part of the name of the run's folder.
    notes: remarks on the data. columns: what was decided about each column of a table. words: lines to print
    before training. X, y: training examples, or a stream and None. sample_y: targets to check settings
    against. n_out: neurons of the output layer. classes: names of the classes, none in regression. metric:
    usual field of `Record` for early stopping. usual: settings where the user chose none.

    validation: validation data for `Network.fit`. augmentation: for the training images.
    check: refuse settings that do not suit the data. adjusted: the job with what is fitted after training.
    explained: the job with what drives a trained network, which is its explanation.
    rehearse: train and test on parts of the data first, yielding a line for each part.
    meta: metadata of the data for the saved model. next_steps: commands to try.
    describe_training: lines about settings that were chosen from the data.
    test: test scores of a trained network, and its outputs for the test examples. describe_result: the scores
    in words. remarks: further lines about the result. findings: what else the outputs show, for the report.
    """

    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def columns(self) -> tuple[Decision, ...]: ...
    @property
    def explanation(self) -> Explanation | None: ...
    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def X(self) -> np.ndarray: ...
    @property
    def y(self) -> np.ndarray: ...
    @property
    def sample_y(self) -> np.ndarray: ...
    @property
    def n_out(self) -> int: ...
    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def metric(self) -> str: ...
    @property
    def usual(self) -> dict[str, Any]: ...

    def validation(self, settings: Settings) -> Any: ...
    def augmentation(self, settings: Settings) -> Augmentation | None: ...
    def check(self, settings: Settings) -> None: ...
    def rehearse(self, settings: Settings) -> Iterator[str]: ...
    def meta(self) -> dict[str, Any]: ...
    def describe_training(self, settings: Settings) -> list[str]: ...
    def adjusted(self, trained: Trained, settings: Settings) -> Job: ...
    def explained(self, net: Predictor, settings: Settings) -> Job: ...
    def test(self, net: Predictor) -> tuple[dict[str, Any], np.ndarray | None]: ...
    def describe_result(self, result: dict[str, Any]) -> str: ...
    def remarks(self, result: dict[str, Any]) -> list[str]: ...
    def findings(self, net: Predictor, outputs: np.ndarray | None) -> Findings | None: ...
    def next_steps(self, model: str) -> list[str]: ...


def chosen_metric(job: Job, settings: Settings) -> tuple[str, Score | None]:
    """Return the field of `Record` for early stopping, and the score to record if it is one."""
    return choose(settings.metric, job.metric, classes=bool(job.classes))


def fit_arguments(job: Job, settings: Settings) -> dict[str, Any]:
    """Return the arguments of `Network.fit` that the settings decide."""
    field, score = chosen_metric(job, settings)
    return settings.fit_arguments(field, job.classes, score)


def build_network(settings: Settings, n_in: int, n_out: int) -> Network:
    """Build the network that the settings describe."""
    return Network(**settings.network_arguments(n_in, n_out))


def fit(
    net: Network,
    job: Job,
    settings: Settings,
    folder: Path,
    ranks: MpiRanks | None = None,
    *,
    resume: bool,
    quiet: bool,
) -> Trained:
    """Train a network, or the ensemble that begins with it, and log to the folder of the run.

    ranks: those that train it together. quiet: print no lines about the progress.
    """
    arguments = fit_arguments(job, settings)
    options = FitOptions(**arguments, augmentation=job.augmentation(settings))
    if settings.networks > 1:
        return fit_ensemble(net, job, settings, folder, options, quiet=quiet)
    bar = sys.stderr.isatty()
    options = replace(
        options,
        checkpoint=folder / "checkpoints" if settings.checkpoint_every else None,
        checkpoint_every=settings.checkpoint_every or 1,
        resume=resume,
        verbose=bar,
        on_epoch_end=callbacks(settings, folder, not quiet and not (bar and sys.stdout.isatty()))
        if ranks is None or ranks.rank == 0
        else None,
        communicator=ranks.communicator if ranks else None,
    )
    return averaging.train(net, 1, job.X, job.y, options, partial(_validation, job, settings))


def fit_ensemble(
    net: Network, job: Job, settings: Settings, folder: Path, options: FitOptions, *, quiet: bool
) -> Trained:
    """Train an ensemble. Networks that are finished stay in the folder until the ensemble is whole."""
    kept = ensembles.begin(folder, net.meta)
    n, validation = settings.networks, partial(_validation, job, settings)
    try:
        with SweepDisplay(quiet=quiet) as display:
            going_on = bool(ensembles.finished(folder))
            options = replace(options, checkpoint=kept, resume=going_on, verbose=display.lines)
            return averaging.train(net, n, job.X, job.y, options, validation, display)
    except BaseException as error:
        if isinstance(error, Diverged) or not ensembles.finished(folder):
            ensembles.remove(folder)
        raise


def _validation(job: Job, settings: Settings, seed: int) -> Any:
    """Return the validation data of the network with this seed."""
    return job.validation(replace(settings, seed=seed))


def callbacks(settings: Settings, folder: Path, print_epochs: bool) -> list[Callback]:
    """Return the callbacks that log each epoch. An error of theirs does not end training."""
    loggers: list[Callback] = [JsonLines(live_history(folder))]
    if settings.tensorboard:
        loggers.append(TensorBoard(folder))
    if print_epochs:
        loggers.append(EpochLines(settings.epochs or 0, say))
    return [Tolerant(logger) for logger in loggers]


class Tolerant:
    """Call a logger after every epoch, and warn once if it cannot write."""

    def __init__(self, logger: Callback) -> None:
        self.logger, self.warned = logger, False

    def __call__(self, record: Record) -> None:
        try:
            self.logger(record)
        except OSError as error:
            if not self.warned:
                where = f"{error.filename}: " if error.filename else ""
                warn(f"{where}{error.strerror}; training goes on without this log")
            self.warned = True


def check_settings(settings: Settings, job: Job, net: Network) -> None:
    """Check, before training, the schedule, the class weights, the label smoothing and the ensemble."""
    ensembles.check(settings)
    chosen_metric(job, settings)
    job.check(settings)
    schedules.get(settings.schedule)
    m, n_out = job.sample_y.shape[-1], net.sizes[-1]
    y = check_y(job.sample_y, m, n_out)
    check_weights(None, class_weights.parse(settings.class_weight, job.classes), y, m, n_out)
    check_smoothing(settings.label_smoothing, y, net.cost)
