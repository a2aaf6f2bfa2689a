"""Train a network on a table, from Python.

The command line takes the same steps one by one, to report in between.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from gpunn.names import unknown
from gpunn.sweeps.averaging import describe_failed
from gpunn.tables.model import TableModel
from gpunn.tables.opening import open_task
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import IN_MEMORY, as_place, is_path
from gpunn.tables.table import number_text
from gpunn.tables.task import cross_validate
from gpunn.training import class_weights
from gpunn.training.history import History
from gpunn.training.settings import Settings
from gpunn.version import __version__

OF_IMAGES, OF_RUNS = (
    ("shift", "rotate", "scale", "elastic", "image_size"),
    ("checkpoint_every", "tensorboard"),
)


def train(
    data: Any, target: str | None = None, *, test: Any = None, verbose: bool = False, **options: Any
) -> TableModel:
    """Train a network on a table, and test it, as `gpunn train` does.

    Columns of numbers are scaled and coded, strings become one-hot categories, and missing values are filled.
    Eight networks are averaged.
    A fifth of the rows is held out and tested on, unless `test` or `cv` says otherwise.

    Args:
        data: the path of a .csv, .parquet, .npz or .npy file; a folder, a pattern such as "data/*.parquet",
            a URL such as "s3://bucket/data" or a list of paths of Parquet files; a DataFrame of pandas or
            Polars; or a mapping of names to columns (m,) or matrices (m, n).
        target: the column to predict. Not needed if the data are a mapping or a .npz file with a "y".
        test: a table to test on, of any of these kinds.
        verbose: show a progress bar.
        **options: the options of `gpunn train`, with underscores: `held_out`, `cv`, `task`, `drop`,
            `categorical`, `date`, `missing`, `impute`, `delimiter`, `header`, `encoding`, `sheet`, `memory`
            (such as "2G"; larger Parquet files are streamed) and `threshold` (a number or "best") for the
            table; `hidden`, `epochs`, `optimizer`,
            `learning_rate`, `class_weight` ("balanced" or {class: weight}), `patience`, `seed`, `ensemble`,
            `device` and the others for the network and its training. Error messages name them as on the
            command line.

    Raises:
        TypeError: there is no such option.
        ValueError: an option or a value of the table is wrong; the message says where.

    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris()
    >>> species = iris.target_names[iris.target]
    >>> model = gpunn.tables.train({"X": iris.data, "species": species}, "species", device="cpu")
    >>> model
    TableModel(8 × 49-256-256-3, 'species': classification, 3 classes: setosa, versicolor, virginica)
    >>> model.evaluate()["accuracy"] > 0.8
    True
    >>> model.predict({"X": [[5.1, 3.5, 1.4, 0.2]]})
    array(['setosa'], dtype='<U10')
    """
    data = as_place(data)
    settings, table_options = _chosen({**options, "target": None if target is None else str(target)})
    if test is not None:
        table_options = replace(table_options, test=str(test) if is_path(test) else IN_MEMORY)
    task = open_task(data, settings, table_options, test)
    settings = settings.with_defaults(task.defaults)
    optimizer = settings.build_optimizer()
    net = task.build_network(settings)
    settings.check_metric()
    task.check(settings)
    settings = settings.with_choices(net.cost.name, optimizer)
    folds = list(cross_validate(task, settings, verbose=verbose))
    for k, fold in enumerate(folds, start=1):
        if "failed" in fold:
            warnings.warn(f"fold {k} failed: {fold['failed']}", stacklevel=2)
    trained = task.fit(net, settings, verbose=verbose)
    for seed, why in trained.failed.items():
        warnings.warn(describe_failed(seed, why), stacklevel=2)
    learnt, history, task = trained.predictor, trained.history, task.adjusted(trained, settings)
    try:
        figures, _ = task.test(learnt, folds)
    except ValueError as error:  # a trained network is worth more than its test
        warnings.warn(f"the model was not tested: {error}", stacklevel=2)
        figures = {}
    kept = {name: value for name, value in figures.items() if name.startswith("test_")}
    learnt.meta = {**task.meta(folds), **_described(history), **kept, "settings": asdict(settings)}
    prepared = task.prepared
    constant = prepared.constant
    source = task.table.source
    notes = (*(f"{source.name} {note}" for note in source.notes), *task.table.notes)
    return TableModel.of("the model", learnt, history, prepared.test, constant, notes)


def _chosen(options: Mapping[str, Any]) -> tuple[Settings, TableOptions]:
    """Sort options into settings and table options. Raises TypeError for other names."""
    for_training = [f.name for f in fields(Settings) if f.name not in OF_IMAGES + OF_RUNS]
    for_tables = [f.name for f in fields(TableOptions)]
    for name in options:
        if name not in for_training + for_tables:
            raise TypeError(str(unknown(name, "option", sorted(for_training + for_tables))))
    values = {name: v.item() if isinstance(v, np.generic) else v for name, v in options.items()}  # for JSON
    for name in ("categorical", "drop", "date", "missing"):
        names = values.get(name, ())
        values[name] = (names,) if isinstance(names, str) else tuple(map(str, names))
    if isinstance(weights := values.get("class_weight"), Mapping):
        values["class_weight"] = class_weights.spell(
            {number_text(k) if isinstance(k, float) else k: weight for k, weight in weights.items()}
        )
    if values.get("hidden") is not None:
        values["hidden"] = [n for n in np.atleast_1d(values["hidden"]).astype(int).tolist() if n]
    return (
        Settings(**{name: value for name, value in values.items() if name in for_training}),
        TableOptions(**{name: value for name, value in values.items() if name in for_tables}),
    )


def _described(history: History) -> dict[str, Any]:
    """Return what a model file says about the course of the training."""
    return {
        "epochs": len(history),
        "stopped": history.stopped,
        "seconds": history.seconds,
        "device_description": history.device,
        "gpunn": __version__,
    }
