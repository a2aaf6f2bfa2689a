"""Training on a table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.cli.job import build_network, fit
from gpunn.functions.augmentation import Augmentation
from gpunn.inspection.metrics import UNITS, figure
from gpunn.names import counted, listed
from gpunn.network import Network
from gpunn.report.findings import Findings, classification_findings, regression_findings
from gpunn.tables import target as targets
from gpunn.tables.loading import TableOptions, load, pose
from gpunn.tables.problem import Preparation, Problem, predict, prepare
from gpunn.tables.reading import fingerprint
from gpunn.tables.splitting import folds
from gpunn.tables.table import Table
from gpunn.tables.target import Classes
from gpunn.training.settings import Settings
from gpunn.training.splitting import sample_each_class

VALIDATED = 0.1  # of the rows to train on, where they decide when to stop
FEW = 5  # classes, that are named


@dataclass(frozen=True, eq=False)
class TableJob:
    """A table to train on. fingerprint: of its file. folds: what cross-validation has found."""

    path: Path
    options: TableOptions
    fingerprint: str
    table: Table
    problem: Problem
    words: tuple[str, ...] = ()
    folds: list[dict[str, Any]] = field(default_factory=list)

    metric = "validation_loss"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def folder(self) -> str:
        return self.path.name.partition(".")[0] or "table"

    @property
    def X(self) -> np.ndarray:
        return self.problem.train.X

    @property
    def y(self) -> np.ndarray:
        return self.problem.targets(self.problem.train.y)

    @property
    def n_out(self) -> int:
        return self.problem.n_out

    @property
    def classes(self) -> bool:
        return isinstance(self.problem.target, Classes)

    @property
    def usual(self) -> dict[str, Any]:
        # Settled on held-out rows of iris, wine, breast cancer, diabetes, digits, wheat seeds and Friedman 1,
        # five or ten seeds each: of some twenty choices of layers, mini-batch, dropout, decay and patience it
        # is among the best on every one.
        m = self.X.shape[1]
        return {
            "hidden": [128],
            "output_activation": "softmax" if self.classes else "identity",
            "dropout": 0.1,
            "optimizer": "adam",
            "epochs": int(np.clip(2_000_000 // m, 10, 200)),
            "batch_size": int(np.clip(m // 40, 8, 256)),
            "patience": 20 if len(self._validated(0)) else 0,
        }

    def _validated(self, seed: int) -> np.ndarray:
        """The rows that decide when to stop."""
        y, rng = self.problem.train.y, np.random.default_rng(seed)
        return sample_each_class(VALIDATED, y if self.classes else None, len(y), rng)

    def validation(self, settings: Settings) -> Any:
        test, validated = self.problem.test, self._validated(settings.seed)
        if settings.patience and not len(validated):
            raise ValueError(f"{self.name} has too few rows to hold some out for --patience: leave it out")
        if settings.patience:
            return validated
        return (test.X, self.problem.targets(test.y)) if test else None

    def augmentation(self, settings: Settings) -> Augmentation | None:
        return None

    def rehearse(self, settings: Settings) -> Iterator[str]:
        """Cross-validation: train on all parts but one, test on that one."""
        if not self.options.cv or self.folds:
            return
        rows, y, seed = self.table.rows, self.problem.train.y, settings.seed
        target, how = self.problem.target, preparation(self.options, settings)
        for k, (train, test) in enumerate(folds(self.options.cv, y, self.classes, seed), start=1):
            order = np.concatenate([train, test])
            part = replace(self.table, rows=rows[order], y=y[order])
            problem = prepare(part, target, len(train), how, reuse=True)
            job = replace(self, problem=problem)
            net = build_network(settings, len(job.X), job.n_out)
            if fit(net, job, settings).interrupted:
                raise KeyboardInterrupt
            assert problem.test
            (_, found), baseline = problem.score(net, problem.test), problem.baseline(problem.test.y)
            self.folds.append({**found, "baseline": baseline})
            yield f"fold {k}: {in_words(found)} (baseline {in_words(baseline)})"

    def meta(self) -> dict[str, Any]:
        """What `gpunn evaluate` and `gpunn predict` need to know of the table."""
        target = self.problem.target
        kept = {
            "target": targets.to_json(target),
            **self.problem.preprocessing.to_json(),
            "options": asdict(self.options.absolute()),
            "fingerprint": self.fingerprint,
        }
        classes = {"classes": target.classes} if isinstance(target, Classes) else {}
        rehearsed = {"folds": self.folds} if self.folds else {}
        return {"dataset": str(self.path.absolute()), **classes, "table": kept, **rehearsed}

    def test(self, net: Network) -> tuple[dict[str, Any], np.ndarray | None]:
        """How good the weights are that are saved, and what no network at all would reach."""
        target, test = self.problem.target, self.problem.test
        found: dict[str, Any] = {"task": target.task, "target": target.name}
        if self.folds:
            found["cv"] = {"folds": self.folds, **averages(self.folds)}
        if not test:
            return found, None
        outputs, score = self.problem.score(net, test)
        found |= {f"test_{name}": value for name, value in score.items()}
        return found | {"test_examples": len(test.y), "baseline": self.problem.baseline(test.y)}, outputs

    def findings(self, net: Network, outputs: np.ndarray | None) -> Findings | None:
        """What the test shows besides."""
        target, test = self.problem.target, self.problem.test
        if not test or outputs is None:
            return None

        def place(i: int) -> str:
            return f"row {1 + (i if test.rows is None else int(test.rows[i])):,}"

        if isinstance(target, Classes):
            return classification_findings(net, outputs, test.y, target.classes, place)
        return regression_findings(predict(target, net, outputs), test.y, place)

    def describe_result(self, result: dict[str, Any]) -> str:
        if self.folds:
            return f"{spread(result['cv'])}; trained on all rows: "
        tested = {name: result[f"test_{name}"] for name in UNITS if f"test_{name}" in result}
        return f"test {in_words(tested)} (baseline {in_words(result['baseline'])}), "

    def next_steps(self, model: str) -> list[str]:
        """Commands to try."""
        evaluate = [] if self.options.cv else [f"gpunn evaluate {model}"]
        return [*evaluate, f"gpunn predict {model} {shlex.quote(self.name)}"]


def open_job(
    path: Path, settings: Settings, options: TableOptions, resumed: dict[str, Any] | None
) -> TableJob:
    """Read a table; resumed: what is known of the run that is gone on with."""
    table, target = load(path, options, settings.dtype)
    missing = sum(int(np.isnan(column).sum()) for column in table.rows.T)  # all at once take much room
    problem = pose(table, target, options, settings.seed, preparation(options, settings))
    words = tuple(describe(table, problem, missing))
    folds = resumed.get("folds", []) if resumed else []
    return TableJob(path, options, fingerprint(path, options.format(path)), table, problem, words, folds)


def preparation(options: TableOptions, settings: Settings) -> Preparation:
    """What is to become of the numbers of a table."""
    return Preparation.of(options.impute, settings.cost, settings.output_activation)


# in words


def describe(table: Table, problem: Problem, missing: int) -> Iterator[str]:
    """What was found in a table, and what is made of it."""
    target, fitted = problem.target, problem.preprocessing
    categories = len(fitted.columns) - len(fitted.numbers)
    parts = [counted(len(table.rows), "row"), f"{counted(len(fitted.numbers), 'column')} of numbers"]
    if categories:
        parts.append(f"{categories} of categories")
    if missing:
        parts.append(counted(missing, "missing value"))
    yield f"{table.path}: {', '.join(parts)}"
    yield from (f"{table.path} {note}" for note in table.source.notes)
    if isinstance(target, Classes):
        few = f": {', '.join(target.classes)}" if len(target.classes) <= FEW else ""
        yield f"target '{target.name}': classification, {len(target.classes)} classes{few}"
    else:
        yield f"target '{target.name}': regression"
    if fitted.dropped:
        yield "not used: " + listed([f"{name} ({why})" for name, why in fitted.dropped.items()])
    if problem.test and problem.test.unknown:
        yield unknown_words(problem.test.unknown)


def unknown_words(unknown: dict[str, int]) -> str:
    """How many values were of no category that was trained on."""
    counts = ", ".join(f"{name} {count:,}" for name, count in unknown.items())
    return f"values of categories that were not trained on: {counts}"


def in_words(found: dict[str, Any]) -> str:
    """Measures by their names."""
    shown = {name: found[name] for name in UNITS if found.get(name) is not None}
    return ", ".join(f"{UNITS[name]} {figure(name, value)}" for name, value in shown.items())


def averages(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean and the standard deviation of each measure over the folds, and the baseline's mean."""
    names = [name for name in ("loss", *UNITS) if found[0].get(name) is not None]
    values = {name: [fold[name] for fold in found] for name in names}
    return {
        "mean": {name: float(np.mean(v)) for name, v in values.items()},
        "std": {name: float(np.std(v, ddof=1)) for name, v in values.items()},
        "baseline": {n: float(np.mean([fold["baseline"][n] for fold in found])) for n in names if n in UNITS},
    }


def spread(cv: dict[str, Any]) -> str:
    """What cross-validation has found, in words."""
    measured = ", ".join(
        f"{UNITS[name]} {figure(name, mean)} ± {figure(name, cv['std'][name])}"
        for name, mean in cv["mean"].items()
        if name in UNITS
    )
    return f"{len(cv['folds'])} folds: {measured} (baseline {in_words(cv['baseline'])})"
