"""Search parameters beside scikit-learn: `python -m benchmarks.search`.

Both searches try the same twelve combinations of an MLPClassifier's parameters on scikit-learn's digits, by
cross-validation with five folds: `gpunn.SweepSearchCV` with gpunn's estimator, and GridSearchCV with
scikit-learn's, each with a process a core. They take turns. The results are written to search.json. The exit
status is 1 if the scores differ by more than noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
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
from sklearn.model_selection import GridSearchCV
from tqdm import tqdm

import gpunn
from benchmarks import machine

RESULTS = Path(__file__).parent / "results"
GRID: dict[str, list[Any]] = {
    "hidden_layer_sizes": [(50,), (100,)],
    "alpha": [1e-4, 1e-2],
    "learning_rate_init": [0.001, 0.003, 0.01],
}
FOLDS, ROUNDS = 5, 3
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


def measure(rounds: int, tick: Callable[[str], object]) -> dict[str, Any]:
    """Let the searches take turns; the first round starts the processes and is not counted."""
    X, y = datasets.load_digits(return_X_y=True)
    X /= 16
    made = searches(machine.cpu()["cores"])
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
    first, *_ = made
    return {
        name: {
            "seconds": statistics.median(seconds[name]),
            "times as fast": float(np.median(np.divide(seconds[first], seconds[name]))),
            "best score": max(scores[name]),
            "largest difference of scores": float(np.abs(np.subtract(scores[name], scores[first])).max()),
            "rounds": seconds[name],
            "scores": scores[name],
        }
        for name in made
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the results as a table."""
    title = f"digits, {FOLDS} folds × 12 candidates"
    table = Table("search", "seconds", "times as fast", "best score", title=title, title_justify="left")
    for name, row in found.items():
        cells = f"{row['seconds']:.2f}", f"{row['times as fast']:.2f}", f"{row['best score']:.4f}"
        table.add_row(name, *cells)
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
