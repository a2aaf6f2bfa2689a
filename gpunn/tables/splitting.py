"""Which rows to train on and which to hold out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def folds(k: int, y: np.ndarray, classes: bool, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows to train on and those to test on, k times; each class keeps its share."""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = StratifiedKFold if classes else KFold
    yield from kind(k, shuffle=True, random_state=seed).split(np.empty(len(y)), y)


def move_to_end(rows: np.ndarray, y: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Reorder rows (m, n) and y (m,) in place so that those held out are the last; which those were."""
    first = len(y) - len(held)
    out = held[held < first]
    into = np.setdiff1d(np.arange(first, len(y)), held, assume_unique=True)
    for array in (rows, y):
        array[out], array[into] = array[into], array[out]
    last = np.arange(first, len(y))
    last[into - first] = out
    return last
