"""Search parameters beside scikit-learn: `python -m benchmarks.search`.

Both searches try the same twelve combinations of an MLPClassifier's parameters on scikit-learn's digits, by
cross-validation with five folds: `gpunn.SweepSearchCV` with gpunn's estimator, and GridSearchCV with
scikit-learn's, each with a process a core. They take turns. The results are written to search.json. The exit
status is 1 if the scores differ by more than noise.

"Steps alone" is how long the cores would need for the steps of all the trainings if nothing else had to be
done. gpunn computes in the precision of X unless told otherwise, here float64.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import timeit
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid
from tqdm import tqdm

import gpunn
from benchmarks import machine
from benchmarks.nets import Net
from benchmarks.steps import training_step
from gpunn.backends import Host
from gpunn.functions.calls import Calls

RESULTS = Path(__file__).parent / "results"
SIZES = [(50,), (100,)]
GRID: dict[str, list[Any]] = {
    "hidden_layer_sizes": SIZES,
    "alpha": [1e-4, 1e-2],
    "learning_rate_init": [0.001, 0.003, 0.01],
}
FOLDS, ROUNDS = 5, 3
BATCH_SIZE = 200  # the estimators' default
SETTINGS: dict[str, Any] = {"max_iter": 100, "random_state": 0}
NOISE = 0.01  # by which mean scores may differ: other folds differ by more

Search = Callable[[], Any]


def searches(cores: int) -> dict[str, Search]:
    """Return the searches by name; each call makes a new one."""
    theirs = neural_network.MLPClassifier(**SETTINGS)
    ours = gpunn.MLPClassifier(device="cpu", **SETTINGS)
    single = gpunn.MLPClassifier(device="cpu", precision="float32", **SETTINGS)
    return {
        "GridSearchCV, scikit-learn": lambda: GridSearchCV(theirs, GRID, cv=FOLDS, n_jobs=cores),
        "SweepSearchCV, gpunn": lambda: gpunn.SweepSearchCV(ours, GRID, cv=FOLDS),
        "SweepSearchCV, gpunn float32": lambda: gpunn.SweepSearchCV(single, GRID, cv=FOLDS),
    }


def steps_alone(precision: str, examples: float, cores: int) -> float:
    """Return the seconds of all steps, at best, from those of each network's full mini-batch.

    examples: how many examples each network learns from, over all folds, candidates and epochs.
    """
    be, seconds = Host(precision, threads=1), []
    for (n,) in SIZES:
        calls = be.plan(training_step(be, Net((64, n, 10), BATCH_SIZE)))

        def step(calls: Calls = calls) -> None:
            for call in calls:
                call()

        with be.threads:
            seconds.append(min(timeit.repeat(step, number=20, repeat=200)) / 20)
    return sum(seconds) * examples / BATCH_SIZE / cores


def measure(rounds: int, tick: Callable[[str], object]) -> dict[str, Any]:
    """Let the searches take turns; the first round starts the processes and is not counted."""
    X, y = datasets.load_digits(return_X_y=True)
    X /= 16
    cores, candidates = machine.cpu()["cores"], len(ParameterGrid(GRID))
    made = searches(cores)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    scores: dict[str, list[float]] = {}
    for k in range(rounds + 1):
        for name, make in made.items():
            tick(f"round {k}: {name}")
            search, start = make(), time.perf_counter()
            search.fit(X, y)
            if k:
                seconds[name].append(time.perf_counter() - start)
            scores[name] = [float(score) for score in search.cv_results_["mean_test_score"]]
    first, ours, single = made
    examples = len(y) * (FOLDS - 1) * SETTINGS["max_iter"] * candidates / len(SIZES)
    steps = {
        name: steps_alone(precision, examples, cores)
        for name, precision in ((ours, "float64"), (single, "float32"))
    }
    return {
        name: {
            "seconds": statistics.median(seconds[name]),
            "times as fast": float(np.median(np.divide(seconds[first], seconds[name]))),
            "best score": max(scores[name]),
            "largest difference of scores": float(np.abs(np.subtract(scores[name], scores[first])).max()),
            "steps alone": steps.get(name),
            "rounds": seconds[name],
            "scores": scores[name],
        }
        for name in made
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the results as a table."""
    title = f"digits, {FOLDS} folds × 12 candidates"
    columns = "search", "seconds", "times as fast", "steps alone", "best score"
    table = Table(*columns, title=title, title_justify="left")
    for name, row in found.items():
        steps = row["steps alone"]
        table.add_row(
            name,
            f"{row['seconds']:.2f}",
            f"{row['times as fast']:.2f}",
            "" if steps is None else f"{steps:.2f}",
            f"{row['best score']:.4f}",
        )
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser("python -m benchmarks.search", description="Search beside scikit-learn.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each search takes its turn")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for search.json")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings(), tqdm(total=3 * (options.rounds + 1), leave=False, disable=None) as bar:
        warnings.simplefilter("ignore", ConvergenceWarning)

        def tick(what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update()

        found = measure(options.rounds, tick)
    show(found, Console())
    results = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "grid": GRID,
        "folds": FOLDS,
        "settings": SETTINGS,
        "searches": found,
    }
    path = options.output / "search.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")
    return int(any(row["largest difference of scores"] > NOISE for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
