"""Run the contestants, one split after another, and keep each run as soon as it is finished."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.tables.contestants import Predict, Task
from benchmarks.tables.scores import score
from benchmarks.tables.sets import TableSet
from benchmarks.tables.splits import Split, repeats, splits
from gpunn.files.writing import write_whole

Run = dict[str, Any]  # set, repeat, fold, contestant, scores, cpu_seconds, seconds; or why it failed


@dataclass(frozen=True)
class Turn:
    """A contestant's turn on a split of a set."""

    chosen: TableSet
    split: Split
    contestant: str

    @property
    def key(self) -> tuple[str, int, int, str]:
        return self.chosen.name, self.split.repeat, self.split.fold, self.contestant


def key_of(run: Run) -> tuple[str, int, int, str]:
    return run["set"], run["repeat"], run["fold"], run["contestant"]


def turns(sets: Sequence[TableSet], contestants: Sequence[str], most: int) -> Iterator[Turn]:
    """Yield all turns, one repeat of all the sets after another, so that a stop leaves a balanced picture."""
    for repeat in range(most):
        for chosen in sets:
            _, y = chosen.load()
            if repeat < repeats(len(y)):
                for split in splits(chosen, y):
                    if split.repeat == repeat:
                        yield from (Turn(chosen, split, name) for name in contestants)


def take(turn: Turn, predict: Predict) -> Run:
    """Let a contestant train and predict, and score it. An error is a result, too."""
    X, y = turn.chosen.load()
    train, test, classifies = turn.split.train, turn.split.test, turn.chosen.classifies
    seed = 2 * turn.split.repeat + turn.split.fold
    task = Task(X.iloc[train], y[train], X.iloc[test], classifies, seed)
    begun, cpu = time.perf_counter(), time.process_time()
    found: Run = dict(zip(("set", "repeat", "fold", "contestant"), turn.key, strict=True))
    found |= {"train_rows": len(train), "test_rows": len(test)}
    try:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            predicted = np.asarray(predict(task), np.float64)
        found |= score(classifies, predicted, y[test])
    except Exception as error:  # of any library
        found["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
    spent = {"cpu_seconds": time.process_time() - cpu, "seconds": time.perf_counter() - begun}
    return found | {name: round(value, 4) for name, value in spent.items()}


def read(path: Path) -> list[Run]:
    """Return the runs that a file keeps; none if there is no file."""
    if not path.exists():
        return []
    runs: list[Run] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return runs


def run_all(
    wanted: Sequence[Turn],
    contestants: Mapping[str, Predict],
    runs: list[Run],
    keep: Callable[[list[Run]], object],
    until: float = np.inf,
) -> list[Run]:
    """Take the turns that are not among the runs; keep all runs after each one.

    until: the time, as `time.monotonic` has it, after which no turn begins.
    """
    done = {key_of(run) for run in runs}
    for turn in wanted:
        if turn.key in done:
            continue
        if time.monotonic() > until:
            break
        runs.append(take(turn, contestants[turn.contestant]))
        keep(runs)
    return runs


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the results as a whole file; each run is on a line of its own."""
    runs = ",\n  ".join(json.dumps(run, ensure_ascii=False) for run in content["runs"])
    head = json.dumps({**content, "runs": []}, indent=1, ensure_ascii=False)
    assert head.count('"runs": []') == 1
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (head.replace('"runs": []', f'"runs": [\n  {runs}\n ]') + "\n").encode())
