"""Train a network on a table: defaults, cross-validation, validation, training and test.

`train` is for Python. The command line calls the same functions one by one, to report in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.names import unknown
from gpunn.network import Network
from gpunn.tables import target as targets
from gpunn.tables.loading import TableOptions, load
from gpunn.tables.measures import summarise_folds
from gpunn.tables.model import TableModel
from gpunn.tables.prepared import Preparation, PreparedTable, prepare
from gpunn.tables.reading import IN_MEMORY, is_path, open_table
from gpunn.tables.splitting import folds, split_and_prepare
from gpunn.tables.table import Table
from gpunn.training.history import History
from gpunn.training.settings import Settings
from gpunn.training.splitting import sample_each_class
from gpunn.version import __version__

METRIC = "validation_loss"  # for early stopping
VALIDATED = 0.1  # share of the training rows that decides when to stop
ELSEWHERE = ("shift", "rotate", "scale", "elastic", "checkpoint_every", "tensorboard")  # images, run folders


def train(
    data: Any, target: str | None = None, *, test: Any = None, verbose: bool = False, **options: Any
) -> TableModel:
    """Train a network on a table, and test it, as `gpunn train` does.

    Columns of numbers are standardised, strings become one-hot categories, and missing values are filled.
    A fifth of the rows is held out and tested on, unless `test` or `cv` says otherwise.

    Args:
        data: the path of a .csv, .parquet, .npz or .npy file; a DataFrame of pandas or Polars; or a mapping
            of names to columns (m,) or matrices (m, n).
        target: the column to predict. Not needed if the data are a mapping or a .npz file with a "y".
        test: a table to test on, of any of these kinds.
        verbose: show a progress bar.
        **options: the options of `gpunn train`, with underscores: `held_out`, `cv`, `task`, `category`,
            `ignore`, `impute`, `delimiter` and `header` for the table; `hidden`, `epochs`, `optimizer`,
            `learning_rate`, `patience`, `seed`, `device` and the others for the network and its training.
            Error messages name them as on the command line.

    Raises:
        TypeError: there is no such option.
        ValueError: an option or a value of the table is wrong; the message says where.

    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris()
    >>> species = iris.target_names[iris.target]
    >>> model = gpunn.tables.train({"X": iris.data, "species": species}, "species", device="cpu")
    >>> model
    TableModel(4-128-3, 'species': classification, 3 classes: setosa, versicolor, virginica)
    >>> model.evaluate()["accuracy"] > 0.8
    True
    >>> model.predict({"X": [[5.1, 3.5, 1.4, 0.2]]})
    array(['setosa'], dtype='<U10')
    """
    settings, table_options = _chosen({**options, "target": None if target is None else str(target)})
    if test is not None:
        table_options = replace(table_options, test=str(test) if is_path(test) else IN_MEMORY)
    task = open_task(data, settings, table_options, test)
    settings = settings.with_defaults(task.defaults)
    optimizer = settings.build_optimizer()
    net = task.build_network(settings)
    settings = settings.with_choices(net.cost.name, optimizer)
    found = list(cross_validate(task, settings, verbose=verbose))
    history = task.fit(net, settings, verbose=verbose)
    figures, _ = task.test(net, found)
    kept = {name: value for name, value in figures.items() if name.startswith("test_")}
    net.meta = {**task.meta(found), **_described(history), **kept, "settings": asdict(settings)}
    prepared = task.prepared
    constant = prepared.target.constant(prepared.train.y)
    return TableModel.of("the model", net, history, prepared.test, constant)


def _chosen(options: Mapping[str, Any]) -> tuple[Settings, TableOptions]:
    """Sort options into settings and table options. Raises TypeError for other names."""
    for_training = [f.name for f in fields(Settings) if f.name not in ELSEWHERE]
    for_tables = [f.name for f in fields(TableOptions)]
    for name in options:
        if name not in for_training + for_tables:
            raise TypeError(str(unknown(name, "option", sorted(for_training + for_tables))))
    values = dict(options)
    for name in ("category", "ignore"):
        if isinstance(names := values.get(name, ()), str):
            values[name] = (names,)
        else:
            values[name] = tuple(map(str, names))
    if values.get("hidden") is not None:
        values["hidden"] = [int(n) for n in values["hidden"]]
    return (
        Settings(**{name: value for name, value in values.items() if name in for_training}),
        TableOptions(**{name: value for name, value in values.items() if name in for_tables}),
    )


def _described(history: History) -> dict[str, Any]:
    """Return what a model file says about how the training went."""
    return {
        "epochs": len(history),
        "stopped": history.stopped,
        "seconds": history.seconds,
        "device_description": history.device,
        "gpunn": __version__,
    }


@dataclass(frozen=True, eq=False)
class TableTask:
    """A table that is ready to be trained on.

    Attributes:
        table: as it was read; its rows are overwritten unless they are needed for cross-validation.
        prepared: the examples, and what was fitted to those to train on.
        options: of the table.
        dataset: the absolute path of the file.
        fingerprint: a digest of the data.
        missing: the number of missing values.
    """

    table: Table
    prepared: PreparedTable
    options: TableOptions
    dataset: str
    fingerprint: str
    missing: int

    @property
    def X(self) -> np.ndarray:
        return self.prepared.train.X

    @property
    def y(self) -> np.ndarray:
        """The targets as `Network.fit` takes them."""
        return self.prepared.target.for_network(self.prepared.train.y)

    @property
    def defaults(self) -> dict[str, Any]:
        """The default settings.

        They were chosen on held-out rows of iris, wine, breast cancer, diabetes, digits, wheat seeds and
        Friedman 1 with five or ten seeds each: among some twenty combinations of layers, mini-batch, dropout,
        decay and patience they are among the best on every table.
        """
        m = self.X.shape[1]
        return {
            "hidden": [128],
            "output_activation": self.prepared.target.output_activation,
            "dropout": 0.1,
            "optimizer": "adam",
            "epochs": int(np.clip(2_000_000 // m, 10, 200)),
            "batch_size": int(np.clip(m // 40, 8, 256)),
            "patience": 20 if len(self._validated(0)) else 0,
        }

    def _validated(self, seed: int) -> np.ndarray:
        """Return the training rows that decide when to stop."""
        y, target = self.prepared.train.y, self.prepared.target
        return sample_each_class(VALIDATED, target.strata(y), len(y), np.random.default_rng(seed))

    def validation(self, settings: Settings) -> Any:
        """Return the rows to validate on: a tenth of those to train on for early stopping, or the test."""
        test, validated = self.prepared.test, self._validated(settings.seed)
        if settings.patience and not len(validated):
            raise ValueError(f"{self.table.name} has too few rows to hold some out for --patience; omit it")
        if settings.patience:
            return validated
        return (test.X, self.prepared.target.for_network(test.y)) if test else None

    def build_network(self, settings: Settings) -> Network:
        return Network(**settings.network_arguments(len(self.X), self.prepared.target.n_out))

    def fit(self, net: Network, settings: Settings, **arguments: Any) -> History:
        """Train a network. arguments: further ones of `Network.fit`."""
        validation = self.validation(settings)
        chosen = settings.fit_arguments(METRIC)
        return net.fit(self.X, self.y, validation=validation, **chosen, **arguments)

    def test(
        self, net: Network, found: Sequence[Mapping[str, Any]]
    ) -> tuple[dict[str, Any], np.ndarray | None]:
        """Test a trained network. Return figures by their names in JSON, and the outputs for the test.

        found: the results of cross-validation.
        """
        target, test = self.prepared.target, self.prepared.test
        figures: dict[str, Any] = {"task": target.task, "target": target.name}
        if found:
            figures["cv"] = summarise_folds(found)
        if not test:
            return figures, None
        outputs, measures = self.prepared.evaluate(net, test)
        figures |= {f"test_{name}": value for name, value in measures.items()}
        return figures | {"test_examples": len(test.y), "baseline": self.prepared.baseline(test.y)}, outputs

    def meta(self, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what a model file says about the table, so that the model can read others."""
        target = self.prepared.target
        kept = {
            "target": targets.to_json(target),
            **self.prepared.preprocessing.to_json(),
            "options": asdict(self.options.absolute()),
            "fingerprint": self.fingerprint,
        }
        return {
            "dataset": self.dataset,
            **target.meta(),
            "table": kept,
            **({"folds": list(found)} if found else {}),
        }


def open_task(data: Any, settings: Settings, options: TableOptions, test: Any = None) -> TableTask:
    """Read and prepare a table. test: the table to test on, if it is in memory."""
    table, target = load(data, options, settings.dtype)
    missing = sum(int(np.isnan(column).sum()) for column in table.rows.T)  # one column's mask at a time
    tested = options.test if test is None else test
    other = None if tested is None else open_table(tested, replace(options.format(tested), targets=None))
    how = preparation(options, settings)
    prepared = split_and_prepare(table, target, options, settings.seed, how, other)
    dataset = str(Path(data).absolute()) if is_path(data) else IN_MEMORY
    return TableTask(table, prepared, options, dataset, table.source.fingerprint(), missing)


def preparation(options: TableOptions, settings: Settings) -> Preparation:
    return Preparation.of(options.impute, settings.cost, settings.output_activation)


def cross_validate(task: TableTask, settings: Settings, *, verbose: bool = False) -> Iterator[dict[str, Any]]:
    """Train on all folds but one and test on that one, for each fold; yield the measures and the baseline.

    Yields nothing unless the table's options ask for folds.
    """
    if not task.options.cv:
        return
    rows, y, target = task.table.rows, task.prepared.train.y, task.prepared.target
    how = preparation(task.options, settings)
    for train_rows, test_rows in folds(task.options.cv, y, target, settings.seed):
        order = np.concatenate([train_rows, test_rows])
        part = replace(task.table, rows=rows[order], y=y[order])
        prepared = prepare(part, target, len(train_rows), how, reuse=True)
        fold = replace(task, prepared=prepared)
        net = fold.build_network(settings)
        if fold.fit(net, settings, verbose=verbose).interrupted:
            raise KeyboardInterrupt
        assert prepared.test
        _, measures = prepared.evaluate(net, prepared.test)
        yield {**measures, "baseline": prepared.baseline(prepared.test.y)}
