"""The examples of a sweep, which exist once for all its networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from gpunn.core.inputs import dense, is_sparse, on_device
from gpunn.names import counted
from gpunn.training.fit_options import FitOptions

Fold: TypeAlias = "tuple[np.ndarray, np.ndarray]"  # the indices to train on, and those to validate on
Given: TypeAlias = "tuple[Any, np.ndarray, dict[str, Any]]"  # X, y, and the options of fit that are data
Folds: TypeAlias = "int | Iterable[tuple[Any, Any]] | None"


@dataclass
class Data:
    """X (n_0, m) and y as `fit` takes them, and how folds divide them.

    Attributes:
        folds: (training indices, validation indices) of each fold; empty without folds.
        by_seed: another validation set for networks with these seeds.
    """

    X: Any
    y: np.ndarray
    validation: Any = None
    sample_weight: np.ndarray | None = None
    folds: Sequence[Fold] = ()
    by_seed: Mapping[int, Any] = field(default_factory=dict)
    _latest: tuple[int, Given] | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_latest": None}

    def of(self, fold: int | None) -> Given:
        """Return X, y and the options of `fit` that are data, for a fold or for all the examples.

        The latest fold is kept, since the next network is likely to train on it as well.
        """
        if fold is None:
            return self.X, self.y, {"validation": self.validation, "sample_weight": self.sample_weight}
        latest = self._latest  # of all threads
        if latest is None or latest[0] != fold:
            latest = self._latest = fold, self._take(*self.folds[fold])
        return latest[1]

    def _take(self, kept: np.ndarray, held: np.ndarray) -> Given:
        weights = None if self.sample_weight is None else self.sample_weight[kept]
        options = {"validation": (columns(self.X, held), self.y[..., held]), "sample_weight": weights}
        return columns(self.X, kept), self.y[..., kept], options

    def examples(self, fold: int | None) -> int:
        """Count the examples to train on."""
        return int(self.X.shape[1]) if fold is None else len(self.folds[fold][0])


def columns(X: Any, places: np.ndarray) -> Any:
    """Return these columns of X, column-major."""
    return X[:, places] if is_sparse(X) or on_device(X) else np.take(X.T, places, 0).T


def gather(
    X: Any, y: np.ndarray, labels: np.ndarray | None, options: FitOptions, folds: Folds, random_state: int
) -> Data:
    """Put the examples together, with folds if there are any.

    Raises ValueError if folds come with validation, or do not suit the examples.
    """
    weights = None if options.sample_weight is None else dense(options.sample_weight)
    if folds is None:
        return Data(X, y, options.validation, weights)
    if options.validation is not None:
        raise ValueError("folds are the validation: pass folds or validation, not both")
    return Data(X, y, None, weights, divide(folds, labels, X.shape[1], random_state))


def divide(folds: Any, labels: np.ndarray | None, m: int, random_state: int) -> list[Fold]:
    """Return the given splits of m examples, or draw some, stratified if there are labels."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if not isinstance(folds, int | np.integer):
        if splits := [_checked(kept, held, m) for kept, held in folds]:
            return splits
        raise ValueError("folds has no splits")
    if folds < 2:
        raise ValueError(f"folds must be at least 2, not {folds}")
    if folds > m:
        raise ValueError(
            f"folds={folds} needs at least {counted(int(folds), 'example')}, but there are {m:,}"
        )
    make = KFold if labels is None else StratifiedKFold
    try:
        split = make(int(folds), shuffle=True, random_state=random_state).split(np.zeros(m), labels)
        return [(kept, held) for kept, held in split]
    except ValueError as error:
        raise ValueError(f"folds={folds}: {' '.join(str(error).split())}") from None


def _checked(kept: Any, held: Any, m: int) -> Fold:
    """Return a given split as indices. Raises ValueError if an index is out of range, or a part is empty."""
    parts = tuple(np.flatnonzero(p) if np.asarray(p).dtype == bool else np.asarray(p) for p in (kept, held))
    for part in parts:
        if (
            part.ndim != 1
            or not len(part)
            or part.dtype.kind not in "iu"
            or part.min() < 0
            or part.max() >= m
        ):
            raise ValueError(f"a split must be two arrays of indices in 0…{m - 1}, at least one in each")
    return parts[0], parts[1]
