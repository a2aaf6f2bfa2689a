"""A table that is ready to be trained on: default settings, cross-validation, training and test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gpunn.inspection.choosing import choose
from gpunn.network import Network
from gpunn.predictor import Predictor
from gpunn.sweeps.averaging import Trained, train
from gpunn.sweeps.ensemble import networks_of
from gpunn.tables import adjusting, dated, dates, recipe
from gpunn.tables import target as targets
from gpunn.tables.decisions import Decision
from gpunn.tables.measures import summarise_folds
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import Preparation, PreparedTable, prepare
from gpunn.tables.quantity import Quantity
from gpunn.tables.splitting import fold_rows
from gpunn.tables.table import Source, Table
from gpunn.tables.target import Classes
from gpunn.training.fit_options import FitOptions
from gpunn.training.loop import Diverged
from gpunn.training.settings import Settings

METRIC = "validation_loss"  # for early stopping


@dataclass(frozen=True, eq=False)
class TableTask:
    """A table that is ready to be trained on.

    Attributes:
        table: the table. Its rows are overwritten, unless cross-validation needs them.
        prepared: the examples, and what was fitted to those to train on.
        options: the options of the table.
        dataset: the absolute path of the file, "-" for standard input, or `IN_MEMORY`.
        fingerprint: a digest of the data.
        columns: what was decided about each column of the file.
        tested: the table to test on, if it is another one.
    """

    table: Table
    prepared: PreparedTable
    options: TableOptions
    dataset: str
    fingerprint: str
    columns: tuple[Decision, ...]
    tested: Source | None = None

    @property
    def rows(self) -> int:
        """The number of rows with a target."""
        return len(self.table.rows)

    @property
    def sample_y(self) -> np.ndarray:
        """Targets to check settings against: all of them, or some of a table that is streamed."""
        return self.y

    @property
    def missing(self) -> int:
        """The number of missing values in the columns that are in use."""
        return sum(column.missing or 0 for column in self.columns if column.use)

    @property
    def X(self) -> np.ndarray:
        return self.prepared.train.X

    @property
    def y(self) -> np.ndarray:
        """The targets as `Network.fit` takes them."""
        return self.prepared.target.for_network(self.prepared.train.y)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; none in regression."""
        target = self.prepared.target
        return target.classes if isinstance(target, Classes) else ()

    @property
    def defaults(self) -> dict[str, Any]:
        """The default settings."""
        target = self.prepared.target
        return self._with_cost(recipe.defaults(self.prepared.train.y, target))

    def _with_cost(self, usual: dict[str, Any]) -> dict[str, Any]:
        """Add the cost by which intervals are learnt, if there are any."""
        target = self.prepared.target
        share = target.interval if isinstance(target, Quantity) else None
        return usual if share is None else {**usual, "cost": adjusting.interval_cost(share)}

    def validation(self, settings: Settings) -> Any:
        """Return the rows to validate on: a fifth of those to train on for early stopping, or the test."""
        target, test = self.prepared.target, self.prepared.test
        if settings.patience:
            rows = recipe.stopping_rows(self.prepared.train.y, target, settings.seed)
            if not len(rows):
                raise ValueError(
                    f"{self.table.name} has too few rows to hold some out for --patience; omit it"
                )
            return rows
        return (test.X, self.prepared.target.for_network(test.y)) if test else None

    def build_network(self, settings: Settings) -> Network:
        return Network(**settings.network_arguments(len(self.X), self.prepared.target.n_out))

    def fit(self, net: Network, settings: Settings, *, verbose: bool = False) -> Trained:
        """Train a network, or the ensemble that begins with it."""
        field, score = choose(settings.metric, METRIC, classes=bool(self.classes))
        options = FitOptions(**settings.fit_arguments(field, self.classes, score), verbose=verbose)
        return train(
            net,
            settings.networks,
            self.X,
            self.y,
            options,
            lambda seed: self.validation(replace(settings, seed=seed)),
        )

    def check(self, settings: Settings) -> None:
        """Raise ValueError for settings that do not suit the table's options."""
        adjusting.check(self.prepared.target, self.options, settings)

    def adjusted(self, trained: Trained, settings: Settings) -> TableTask:
        """Return the task whose target is adjusted to the rows that were held out from training."""

        def rows_of(seed: int) -> Any:
            return self.validation(replace(settings, seed=seed)) if settings.patience else None

        prepared, net = self.prepared, trained.predictor
        seeds = trained.members or (settings.seed,)
        held = adjusting.held_out_outputs(networks_of(net), seeds, self.X, rows_of)
        target = adjusting.adjust(prepared.target, self.options, settings.metric, net, prepared.train.y, held)
        return replace(self, prepared=replace(prepared, target=target))

    def test(
        self, net: Predictor, folds: Sequence[Mapping[str, Any]]
    ) -> tuple[dict[str, Any], np.ndarray | None]:
        """Test what was trained. Return figures by their names in JSON, and the outputs for the test.

        folds: the results of cross-validation.

        Raises ValueError, with the place, for a value so large that the outputs overflow.
        """
        target, test = self.prepared.target, self.prepared.test
        figures: dict[str, Any] = {"task": target.task, "target": target.name}
        if self.options.threshold is not None and isinstance(target, Classes):
            figures["threshold"] = target.threshold
        if isinstance(target, Classes) and target.temperature != 1:
            figures["temperature"] = target.temperature
        if folds:
            figures["cv"] = summarise_folds(folds)
        if not test:
            return figures, None
        outputs, measures = self.prepared.evaluate(net, test)
        figures |= {f"test_{name}": value for name, value in measures.items()}
        figures |= adjusting.before(target, net, outputs, test.y)
        return figures | {"test_examples": len(test.y), "baseline": self.prepared.baseline(test.y)}, outputs

    def _spellings(self) -> dict[str, Any]:
        """Return how the numbers are written that were strings, if there are any in use."""
        used = [*self.prepared.preprocessing.kinds, self.prepared.target.name]
        spelt = {name: self.table.spellings[name] for name in used if name in self.table.spellings}
        return {"spellings": {name: asdict(how) for name, how in spelt.items()}} if spelt else {}

    def _dates(self) -> dict[str, Any]:
        """Return how the dates are written, if there are any in use."""
        used = dated.dates_of(self.table.source, self.prepared.preprocessing.kinds)
        return {"dates": dates.to_json(used)} if used else {}

    def meta(self, folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what a model file says about the table, so that the model can read others."""
        target = self.prepared.target
        kept = {
            "target": targets.to_json(target),
            **self.prepared.preprocessing.to_json(),
            **self._spellings(),
            **self._dates(),
            "options": asdict(replace(self.options.absolute(), header=self.table.source.header)),
            "fingerprint": self.fingerprint,
        }
        return {
            "dataset": self.dataset,
            **target.meta(),
            "table": kept,
            **({"folds": list(folds)} if folds else {}),
        }


def preparation(options: TableOptions, settings: Settings) -> Preparation:
    return Preparation.of(options.impute, settings.cost, settings.output_activation)


def cross_validate(task: TableTask, settings: Settings, *, verbose: bool = False) -> Iterator[dict[str, Any]]:
    """Train on all folds but one and test on that one, for each fold; yield the measures and the baseline.

    If the training of a fold diverges or its test overflows, it has the reason under "failed" instead of
    measures. Yields nothing unless the table's options ask for folds.
    """
    if not task.options.cv:
        return
    y, target = task.prepared.train.y, task.prepared.target
    for train_rows, test_rows in fold_rows(task.options.cv, y, target, settings.seed):
        fold = _prepare_fold(task, settings, train_rows, test_rows)
        net, test = fold.build_network(settings), fold.prepared.test
        assert test
        baseline = fold.prepared.baseline(test.y)
        try:
            trained = fold.fit(net, settings, verbose=verbose)
        except Diverged as error:
            yield {"failed": str(error), "baseline": baseline}
            continue
        if trained.history.interrupted:
            raise KeyboardInterrupt
        fold = fold.adjusted(trained, settings)
        try:
            _, measures = fold.prepared.evaluate(trained.predictor, test)
        except ValueError as error:  # the outputs overflow
            yield {"failed": str(error), "baseline": baseline}
        else:
            yield {**measures, "baseline": baseline}


def _prepare_fold(
    task: TableTask, settings: Settings, train_rows: np.ndarray, test_rows: np.ndarray
) -> TableTask:
    """Prepare some rows of a table to train on, and others to test on."""
    rows, y, target = task.table.rows, task.prepared.train.y, task.prepared.target
    order = np.concatenate([train_rows, test_rows])
    part = replace(task.table, rows=rows[order], y=y[order])
    prepared = prepare(part, target, len(train_rows), preparation(task.options, settings), reuse=True)
    return replace(task, prepared=prepared)
