"""`gpunn train` on a table: what it prints about the table and the results."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gpunn.backends.host.threads import Threads
from gpunn.cli.columns import describe_columns, describe_drivers
from gpunn.cli.output import warn
from gpunn.functions.augmentation import Augmentation
from gpunn.inspection.metrics import UNITS, figure
from gpunn.inspection.scores import INTERVALS, SCORES
from gpunn.names import counted
from gpunn.predictor import Predictor
from gpunn.report.facts import tested, verdict
from gpunn.report.findings import Findings, classification_findings, regression_findings
from gpunn.report.ranking import rank
from gpunn.sweeps.averaging import Trained
from gpunn.tables.decisions import Decision
from gpunn.tables.explaining import Explanation, cells_of, columns_of_mistakes, explain
from gpunn.tables.model import describe_unknown
from gpunn.tables.opening import open_task
from gpunn.tables.options import BEST, TableOptions
from gpunn.tables.quantity import Quantity
from gpunn.tables.reading import is_stream
from gpunn.tables.sources import places
from gpunn.tables.sources.files import name_of
from gpunn.tables.sources.places import names_files
from gpunn.tables.streaming.task import StreamedTask
from gpunn.tables.target import Classes, Target
from gpunn.tables.task import METRIC, TableTask, cross_validate
from gpunn.training.settings import Settings


@dataclass(frozen=True, eq=False)
class TableJob:
    """A table to train on.

    Attributes:
        path: the file, or the places of Parquet files.
        task: the table, ready to be trained on.
        notes: remarks on the table.
        folds: the results of cross-validation, as far as it went.
        explanation: what drives the network, after training.
    """

    path: str
    task: TableTask
    notes: tuple[str, ...] = ()
    folds: list[dict[str, Any]] = field(default_factory=list)
    explanation: Explanation | None = None

    metric = METRIC

    @property
    def name(self) -> str:
        return name_of(Path(self.path)) if is_stream(Path(self.path)) else self.path

    @property
    def columns(self) -> tuple[Decision, ...]:
        return self.task.columns

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.notes, *describe_columns(self.columns))

    @property
    def folder(self) -> str:
        if names_files(self.path):
            return places.short(self.path)
        stream = is_stream(Path(self.path))
        return "table" if stream else Path(self.path).name.partition(".")[0].strip("-") or "table"

    @property
    def X(self) -> np.ndarray:
        return self.task.X

    @property
    def y(self) -> np.ndarray:
        return self.task.y

    @property
    def sample_y(self) -> np.ndarray:
        return self.task.sample_y

    @property
    def n_out(self) -> int:
        return self.task.prepared.target.n_out

    @property
    def classes(self) -> Sequence[str]:
        return self.task.classes

    @property
    def usual(self) -> dict[str, Any]:
        return self.task.defaults

    def validation(self, settings: Settings) -> Any:
        return self.task.validation(settings)

    def augmentation(self, settings: Settings) -> Augmentation | None:
        return None

    def check(self, settings: Settings) -> None:
        self.task.check(settings)

    def adjusted(self, trained: Trained, settings: Settings) -> TableJob:
        return replace(self, task=self.task.adjusted(trained, settings))

    def explained(self, net: Predictor, settings: Settings) -> TableJob:
        try:
            with Threads(1):  # for many small products
                task = self.task.sampled() if isinstance(self.task, StreamedTask) else self.task
                return replace(self, explanation=explain(task, net, settings.seed))
        except KeyboardInterrupt:
            warn("interrupted: the report does not say what drives the network")
            return self

    def rehearse(self, settings: Settings) -> Iterator[str]:
        """Cross-validate, unless a resumed run has done so, and yield a line for each fold."""
        if self.folds:
            return
        for k, found in enumerate(cross_validate(self.task, settings, verbose=sys.stderr.isatty()), start=1):
            self.folds.append(found)
            if "failed" in found:
                warn(f"fold {k} failed: {found['failed']}")
                continue
            yield f"fold {k}: {in_words(found)} (baseline {in_words(found['baseline'])})"

    def describe_training(self, settings: Settings) -> list[str]:
        streamed = isinstance(self.task, StreamedTask)
        return [describe_training(settings, "the rows to validate on" if streamed else "a fifth")]

    def meta(self) -> dict[str, Any]:
        return self.task.meta(self.folds)

    def test(self, net: Predictor) -> tuple[dict[str, Any], np.ndarray | None]:
        return self.task.test(net, self.folds)

    def findings(self, net: Predictor, outputs: np.ndarray | None) -> Findings | None:
        """Return what a report shows of the test, from the outputs for the test examples."""
        target, test = self.task.prepared.target, self.task.prepared.test
        if not test or outputs is None:
            return None

        def place(i: int) -> str:
            return f"row {1 + (i if test.rows is None else int(test.rows[i])):,}"

        cells, predicted = self.cells, target.decode(net, outputs)
        if isinstance(target, Classes):
            p = target.probabilities(net, outputs)
            found = classification_findings(
                net, outputs, test.y, target.classes, place, predicted=predicted, p=p, cells=cells
            )
            if p is not None:
                found = replace(found, ranking=rank(test.y, p, target.classes, target.threshold))
            return found
        return regression_findings(predicted, test.y, place, cells)

    def cells(self, mistakes: Sequence[int]) -> list[dict[str, str]]:
        """Return the cells to show of some test examples, by column; none if they cannot be read."""
        columns = columns_of_mistakes(self.task, self.explanation)
        test, at = self.task.prepared.test, np.array(mistakes, np.intp)
        assert test
        try:
            found = cells_of(self.task, test, at, columns) if mistakes else {}
        except (OSError, ValueError):  # the file is gone, or is another one by now
            return []
        return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]

    def describe_result(self, result: dict[str, Any]) -> str:
        if self.folds:
            return f"{in_words_of_folds(result['cv'])}; trained on all rows: "
        tested = {name: result[f"test_{name}"] for name in UNITS if f"test_{name}" in result}
        return f"test {in_words(tested)} (baseline {in_words(result['baseline'])}), "

    def remarks(self, result: dict[str, Any]) -> list[str]:
        """Return the further scores, and a line if the model is no better than its baseline."""
        found, spread, _ = tested(result)
        lines = [in_words(found, SCORES, spread)]
        lines += describe_intervals(self.task.prepared.target, found)
        if "temperature" in result:
            lines.append(describe_temperature(result))
        lines += describe_drivers(result)
        if "threshold" in result:
            lines.append(describe_threshold(self.task, result["threshold"]))
        return [line for line in (*lines, verdict(result)) if line]

    def next_steps(self, model: str) -> list[str]:
        """Return commands to try."""
        if is_stream(Path(self.path)):
            return [f"gpunn evaluate {model} FILE.csv", f"gpunn predict {model} FILE.csv"]
        evaluate = [] if self.task.options.cv else [f"gpunn evaluate {model}"]
        return [*evaluate, f"gpunn predict {model} {shlex.quote(self.name)}"]


def open_job(
    path: str, settings: Settings, options: TableOptions, earlier: dict[str, Any], *, resumed: bool
) -> TableJob:
    """Read and prepare a table.

    Args:
        earlier: the metadata of the model to train further; empty to begin anew.
        resumed: whether that model is the same run's.
    """
    path = path if names_files(path) else str(Path(path))
    task = open_task(path, settings, options, known=earlier.get("table"))
    return TableJob(path, task, tuple(describe_table(task)), earlier.get("folds", []) if resumed else [])


# in words


def describe_training(settings: Settings, held: str = "a fifth") -> str:
    """Describe how networks for a table are trained. held: the rows that choose the epoch.

    >>> from gpunn.cli.tables import describe_training
    >>> from gpunn.training.settings import Settings
    >>> settings = Settings(optimizer="adamw", learning_rate=0.004, epochs=9, batch_size=16, patience=9)
    >>> describe_training(settings)
    'trained with adamw 0.004, mini-batches of 16, 9 epochs; the best on a fifth is kept'
    """
    rate = "" if settings.learning_rate is None else f" {settings.learning_rate:g}"
    schedule = f" ({settings.schedule})" if settings.schedule else ""
    dropout = f", dropout {settings.dropout:g}" if settings.dropout else ""
    batches = f"mini-batches of {settings.batch_size}, {counted(settings.epochs or 0, 'epoch')}"
    parts = [f"trained with {settings.optimizer}{rate}{schedule}{dropout}, {batches}"]
    if settings.patience:
        if settings.patience < (settings.epochs or 0):
            parts.append(f", {settings.patience:,} at most without improvement")
        own = " of its own" if held == "a fifth" else ""
        several = f"each keeps its best on {held}{own}"
        parts.append(f"; {several if settings.networks > 1 else f'the best on {held} is kept'}")
    return "".join(parts)


def describe_table(task: TableTask) -> Iterator[str]:
    """Yield lines about a table: its size, and the task."""
    target, fitted, test = task.prepared.target, task.prepared.preprocessing, task.prepared.test
    name, numbers = task.table.name, len(fitted.numbers)
    parts = [counted(task.rows, "row"), counted(numbers, "numeric column")]
    if categories := len(fitted.columns) - numbers:
        parts.append(counted(categories, "categorical column"))
    if task.missing:
        parts.append(counted(task.missing, "missing value"))
    yield f"{name}: {', '.join(parts)}"
    if isinstance(task, StreamedTask):
        yield task.describe()
    yield from (f"{name} {note}" for note in task.table.source.notes)
    yield from task.table.notes
    yield f"target '{target.name}': {target.describe()}"
    if test:
        yield from test.notes
    if test and test.unknown:
        yield describe_unknown(test.unknown)


def describe_intervals(target: Target, found: Mapping[str, Any]) -> list[str]:
    """Return a line about prediction intervals: the share of the numbers that they hold, and their width."""
    words = in_words(found, INTERVALS)
    return [f"{target.interval:g} intervals: {words}"] if isinstance(target, Quantity) and words else []


def describe_temperature(result: Mapping[str, Any]) -> str:
    """Say how the probabilities were calibrated, and what that did to the log loss of the test."""
    line = f"probabilities calibrated on held-out training rows: temperature {result['temperature']:.3g}"
    before, after = result.get("uncalibrated_log_loss"), result.get("test_log_loss")
    if before is None or after is None:
        return line
    return f"{line}, test log loss {before:#.4g} before, {after:#.4g} after"


def describe_threshold(task: TableTask, threshold: float) -> str:
    """Say from which probability the second class is predicted."""
    target = task.prepared.target
    assert isinstance(target, Classes)
    how = ", chosen on held-out training rows" if task.options.threshold == BEST else ""
    return f"'{target.classes[1]}' is predicted if its probability is above {threshold:.4g}{how}"


def in_words(
    found: Mapping[str, Any],
    names: Mapping[str, str] = UNITS,
    spread: Mapping[str, float | None] = MappingProxyType({}),
) -> str:
    """Write measures with their names, and ± their standard deviations if these are known."""
    shown = {name: found[name] for name in names if found.get(name) is not None}
    return ", ".join(
        f"{names[name]} {figure(name, value)}"
        + (f" ± {figure(name, deviation)}" if (deviation := spread.get(name)) is not None else "")
        for name, value in shown.items()
    )


def in_words_of_folds(cv: dict[str, Any]) -> str:
    """Write the results of cross-validation: mean ± standard deviation of each measure."""
    measured = in_words(cv["mean"], UNITS, cv["std"])
    folds, failed = len(cv["folds"]), sum("failed" in fold for fold in cv["folds"])
    if failed == folds:
        return f"all {folds} folds failed"
    but = f", {failed} of which failed" if failed else ""
    return f"{folds} folds{but}: {measured} (baseline {in_words(cv['baseline'])})"
