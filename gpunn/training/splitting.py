"""Choose which examples to hold out. There are two ways, and results on file depend on each.

`stratified_split` is scikit-learn's `train_test_split`. `Network.fit(validation=0.2)` and the estimators use
it. It raises an error if a class is too small to be on both sides.

`sample_each_class` draws from every class with two examples or more, however small the table. Training on
tables uses it: `gpunn evaluate` repeats the draw to find the held-out rows of a saved model.

Given the same generator, the two choose different examples. Merging them would change either the results of
`fit` or the rows on which saved models were tested.
"""

from __future__ import annotations

import numpy as np


def stratified_split(
    share: float | np.ndarray | list[int] | range, labels: np.ndarray | None, m: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Split m examples into indices to train on and indices to validate on, each ascending.

    share: the fraction to validate on, or the very indices to validate on (kept in their order).
    labels (m,): each class keeps its share of both parts.

    Raises ValueError if there are too few examples, or an index is out of range.
    """
    if isinstance(share, np.ndarray | list | range):
        return all_but(held := np.asarray(share), m), held
    from sklearn.model_selection import train_test_split

    if not 0 < share < 1:
        raise ValueError(f"the share for validation must be between 0 and 1, not {share}")
    seed = int(rng.integers(2**32))
    try:
        kept, held = train_test_split(np.arange(m), test_size=share, stratify=labels, random_state=seed)
    except ValueError as error:
        why = " ".join(str(error).split())
        raise ValueError(f"cannot hold out {share} of {m:,} examples, class by class: {why}") from None
    return np.sort(kept), np.sort(held)


def sample_each_class(
    share: float, labels: np.ndarray | None, m: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a share of the m examples, class by class; return their indices, ascending.

    labels (m,): each class with two examples or more gives at least one; a class of one gives none.
    None: all examples are one class.
    """
    classes = [np.arange(m)] if labels is None else [np.flatnonzero(labels == k) for k in np.unique(labels)]
    held = [rng.permutation(rows)[: max(1, round(share * len(rows)))] for rows in classes if len(rows) > 1]
    return np.sort(np.concatenate(held)) if held else np.empty(0, np.intp)


def all_but(held: np.ndarray, m: int) -> np.ndarray:
    """Return the indices 0…m − 1 that are not held out. Raises ValueError if none would remain."""
    if held.ndim != 1 or held.dtype.kind not in "iu" or not len(held) or held.min() < 0 or held.max() >= m:
        raise ValueError(f"the indices to validate on must be whole numbers in 0…{m - 1}, at least one")
    free = np.ones(m, bool)
    free[held] = False
    if not free.any():
        raise ValueError(f"all {m:,} examples are held out, so there is nothing to train on")
    return np.flatnonzero(free)
