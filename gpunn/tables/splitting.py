"""Which rows to train on and which to hold out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def hold_out(share: float, y: np.ndarray, classes: bool, rng: np.random.Generator) -> np.ndarray:
    """The indices of that share of the rows, class by class; of a class with two or more at least one.

    Unlike scikit-learn's split it has no least size, so that small tables can be held out from too.
    """
    groups = [np.flatnonzero(y == k) for k in np.unique(y)] if classes else [np.arange(len(y))]
    held = [rng.permutation(rows)[: max(1, round(share * len(rows)))] for rows in groups if len(rows) > 1]
    return np.sort(np.concatenate(held)) if held else np.empty(0, np.intp)


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
