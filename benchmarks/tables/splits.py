"""The rows of a table to train on and to test on, by repeated twofold cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks.tables.sets import TableSet

REPEATS = 5
LARGE = 2000  # rows; larger tables are split fewer times
LARGE_REPEATS = 2
MOST_ROWS = 4000  # to train on, and to test on


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows to test on. fold: 0 or 1, the half that is tested on."""

    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray


def repeats(m: int) -> int:
    """Return how often a table of m rows is divided into two halves."""
    return LARGE_REPEATS if m > LARGE else REPEATS


def splits(chosen: TableSet, y: np.ndarray) -> Iterator[Split]:
    """Yield the splits of a table, at most MOST_ROWS in each part. Classes keep their shares."""
    kind = StratifiedKFold if chosen.classifies else KFold
    for repeat in range(repeats(len(y))):
        halves = kind(2, shuffle=True, random_state=repeat)
        rng = np.random.default_rng(repeat)
        for fold, (train, test) in enumerate(halves.split(np.zeros(len(y)), y)):
            yield Split(repeat, fold, _some(train, rng), _some(test, rng))


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.permutation(rows)[:MOST_ROWS])
