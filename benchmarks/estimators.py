"""Compare gpunn's estimators with scikit-learn's on its own data sets: `python -m benchmarks.estimators`.

Quality: both use their defaults after a StandardScaler, which also scales the targets of diabetes. Each of
ten seeds draws the split and the network. Both estimators train on the same rows, and their scores are
compared seed by seed. Speed: all of `fit`, for a fixed number of epochs, and `predict`, on 1,000 rows and
more (smaller sets are sampled with replacement), with the estimators taking turns. `predict` is also called
with a single row and more, as a service calls it. The results are written to estimators.json.
The exit status is 1 if a score differs by more than noise or gpunn is not faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn import datasets, neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

import gpunn
from benchmarks import machine

RESULTS = Path(__file__).parent / "results"
SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")
ROWS = (1_000, 10_000)  # and the set's own number, if it is larger
CALLS = (1, 10, 100, 1_000, 10_000)  # rows of a call of `predict`
PAUSE = 0.05  # seconds between turns: BLAS threads spin for a while after their last product
EPOCHS_AT_1000 = 60
LEAST = 5e-4  # smaller differences between scores do not count
ENVIRONMENT = ("OPENBLAS_", "OMP_", "MKL_", "GOMP_")

Maker = Callable[..., Any]


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    seeds: int
    rounds: int

    def ticks(self) -> int:
        """Return the number of steps in the progress bar."""
        return len(SETS) + sum(len(row_counts(name)) + len(CALLS) for name in SETS)


def makers(name: str) -> dict[str, Maker]:
    """Return the estimators for a data set: scikit-learn's, gpunn's, and gpunn's in float32."""
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    ours = getattr(gpunn, kind)
    return {
        "scikit-learn": getattr(neural_network, kind),
        "gpunn": lambda **given: ours(device="cpu", **given),
        "gpunn float32": lambda **given: ours(device="cpu", precision="float32", **given),
    }


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load one of scikit-learn's bundled data sets."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y


def scores(name: str, seeds: int) -> dict[str, list[float]]:
    """Return each estimator's accuracy (diabetes: R²) on the held-out quarter, by seed."""
    X, y = load(name)
    found: dict[str, list[float]] = {who: [] for who in makers(name)}
    for seed in range(seeds):
        strata = None if name == "diabetes" else y
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=strata)
        for who, make in makers(name).items():
            model = make_pipeline(StandardScaler(), make(random_state=seed))
            if name == "diabetes":
                model = TransformedTargetRegressor(model, transformer=StandardScaler())
            found[who].append(float(model.fit(X_train, y_train).score(X_test, y_test)))
    return found


def paired(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Return the mean difference and its standard error; noise is up to two errors, or LEAST."""
    differences = np.subtract(ours, theirs)
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))
    return {"mean": mean, "standard_error": error, "within_noise": abs(mean) <= max(2 * error, LEAST)}


def speeds(name: str, rows: int, rounds: int) -> dict[str, Any]:
    """Measure the seconds of `fit` and `predict` in every round, and how many times faster gpunn is."""
    X, y = load(name)
    drawn = np.random.default_rng(0).integers(0, len(X), rows) if rows != len(X) else np.arange(rows)
    X, y = StandardScaler().fit_transform(X)[drawn], y[drawn]
    epochs = max(5, EPOCHS_AT_1000 * 1_000 // rows)
    found: dict[str, Any] = {"set": name, "rows": rows, "epochs": epochs, "fit": {}, "predict": {}}
    for i in range(rounds + 1):  # the first round is a warm-up
        for who, make in list(makers(name).items())[:: -1 if i % 2 else 1]:
            est = make(random_state=0, max_iter=epochs, n_iter_no_change=np.inf)
            for what, action in (
                ("fit", lambda est=est: est.fit(X, y)),
                ("predict", lambda est=est: est.predict(X)),
            ):
                seconds = timed(action)
                if i:
                    found[what].setdefault(who, []).append(seconds)
    found["faster"] = {what: faster(found[what]) for what in ("fit", "predict")}
    return found


def call_speeds(name: str, rows: int, rounds: int) -> dict[str, Any]:
    """Measure the seconds of a call of `predict` in every round, and how many times less gpunn takes."""
    X, y = load(name)
    X = StandardScaler().fit_transform(X)
    drawn, repeats = X[np.random.default_rng(0).integers(0, len(X), rows)], max(3, 1_000 // rows)
    estimators = {who: make(random_state=0, max_iter=5).fit(X, y) for who, make in makers(name).items()}
    found: dict[str, Any] = {"set": name, "rows": rows, "predict": {who: [] for who in estimators}}
    for i in range(rounds + 1):  # the first round is a warm-up
        for who, est in list(estimators.items())[:: -1 if i % 2 else 1]:
            seconds = timed(partial(several, est.predict, drawn, repeats))
            if i:
                found["predict"][who].append(seconds / repeats)
    found["faster"] = faster(found["predict"])
    return found


def faster(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return how many times less gpunn's estimators take than scikit-learn's: medians over the rounds."""
    theirs = seconds["scikit-learn"]
    return {
        who: statistics.median(a / b for a, b in zip(theirs, seconds[who], strict=True))
        for who in ("gpunn", "gpunn float32")
    }


def several(function: Callable[[np.ndarray], object], X: np.ndarray, times: int) -> None:
    """Call a function of X several times."""
    for _ in range(times):
        function(X)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes, after a pause."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def row_counts(name: str) -> list[int]:
    """Return the numbers of rows at which a data set is timed."""
    own = len(load(name)[0])
    return sorted({*ROWS, own} if own >= min(ROWS) else ROWS)


def measure(effort: Effort, tick: Callable[[str], object]) -> dict[str, Any]:
    """Measure quality and speed on every data set; warnings about too few epochs are ignored."""
    quality, speed, calls = [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in SETS:
            tick(f"{name}: {effort.seeds} seeds")
            found = scores(name, effort.seeds)
            differences = {who: paired(found[who], found["scikit-learn"]) for who in list(found)[1:]}
            quality.append({"set": name, "scores": found, "difference": differences})
        for name in SETS:
            for rows in row_counts(name):
                tick(f"{name}: {rows:,} rows")
                speed.append(speeds(name, rows, effort.rounds))
            for rows in CALLS:
                tick(f"{name}: calls of {rows:,} rows")
                calls.append(call_speeds(name, rows, effort.rounds))
    return {"quality": quality, "speed": speed, "calls": calls}


def show(results: dict[str, Any], console: Console) -> None:
    """Print a table of the quality and one of the speed."""
    table = Table(
        "set", "score", "scikit-learn", "gpunn", "difference", "noise", title="Quality on held-out rows"
    )
    for row in results["quality"]:
        means = {who: statistics.mean(values) for who, values in row["scores"].items()}
        difference = row["difference"]["gpunn"]
        table.add_row(
            row["set"],
            "R²" if row["set"] == "diabetes" else "accuracy",
            f"{means['scikit-learn']:.4f}",
            f"{means['gpunn']:.4f}",
            f"{difference['mean']:+.4f} ± {difference['standard_error']:.4f}",
            "within" if difference["within_noise"] else "beyond",
        )
    console.print(table)
    columns = ("set", "rows", "scikit-learn", "gpunn", "faster", "in float32", "predict")
    table = Table(*columns, title="Speed: median ms per epoch of fit, and how many times faster gpunn is")
    for row in results["speed"]:
        ms = {who: statistics.median(values) / row["epochs"] * 1e3 for who, values in row["fit"].items()}
        table.add_row(
            row["set"],
            f"{row['rows']:,}",
            f"{ms['scikit-learn']:.2f}",
            f"{ms['gpunn']:.2f}",
            f"{row['faster']['fit']['gpunn']:.1f} ×",
            f"{row['faster']['fit']['gpunn float32']:.1f} ×",
            f"{row['faster']['predict']['gpunn']:.1f} ×",
        )
    console.print(table)
    title = "Calls of predict: rows, and times faster, in float64 and in float32"
    table = Table("set", *(f"{rows:,}" for rows in CALLS), title=title)
    for name in SETS:
        ratios = [row["faster"].values() for row in results["calls"] if row["set"] == name]
        table.add_row(name, *(", ".join(f"{ratio:.1f}" for ratio in both) for both in ratios))
    console.print(table)


def holds(results: dict[str, Any]) -> bool:
    """Return True if every score is within noise, and every `fit` and every call of `predict` is faster."""
    alike = all(row["difference"]["gpunn"]["within_noise"] for row in results["quality"])
    fits = all(row["faster"]["fit"]["gpunn"] > 1 for row in results["speed"])
    return alike and fits and all(min(row["faster"].values()) >= 1 for row in results["calls"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the results; return the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.estimators", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds and two rounds")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON")
    options = parser.parse_args(arguments)
    effort = Effort(2, 2) if options.quick else Effort(10, 7)
    start = time.monotonic()
    with tqdm(total=effort.ticks(), leave=False, disable=None) as bar:

        def tick(what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update()

        measured = measure(effort, tick)
    results = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.estimators" + " --quick" * options.quick,
        "seconds": round(time.monotonic() - start),
        "machine": machine.describe(),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)},
        "threads": machine.threads(),
        **measured,
    }
    show(results, Console())
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "estimators.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")
    return 0 if holds(results) else 1


if __name__ == "__main__":
    sys.exit(main())
