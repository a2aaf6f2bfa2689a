"""Examples on the CPU, and passes over them."""

from __future__ import annotations

import numpy as np

from gpunn.backends.host.memory import Columns
from gpunn.core.examples import Examples, Pass
from gpunn.core.inputs import dense, is_sparse
from gpunn.functions.calls import Array

PREPARED_BYTES = 1 << 24  # the most that X may take if it is kept a second time


class HostData:
    """Examples as they were given; only their memory order may change."""

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        self.dtype = dtype

    def examples(
        self,
        X: Array,
        labels: Array | None,
        targets: Array | None,
        smoothing: float = 0.0,
        weights: Array | None = None,
    ) -> Examples:
        X = X if is_sparse(X) else np.asfortranarray(dense(X))
        return Examples(X, labels, targets, smoothing, weights)

    def refill(
        self,
        examples: Examples,
        X: Array,
        labels: Array | None,
        targets: Array | None,
        weights: Array | None,
    ) -> None:
        new = X, labels, targets, weights
        old = examples.X, examples.labels, examples.targets, examples.weights
        for array, place in zip(new, old, strict=True):
            if array is not None:
                np.copyto(place, array)
        if examples.prepared:
            np.copyto(with_ones(examples)[:-1], X)

    def new_pass(self, m: int, steps: int | None = None, places: Array | None = None) -> Pass:
        own = np.arange(m) if places is None else places
        return Pass(np.arange(m), own, np.zeros(m, self.dtype), np.zeros(m, bool), 0, 0, None, 0)

    def start_pass(
        self, p: Pass, order: Array, etas: Array | None = None, key: int = 0, step: int = 0
    ) -> None:
        p.order, p.position, p.step, p.etas, p.key = order, 0, step, etas, key

    def prefetch(self, p: Pass, order: Array, key: int) -> None:
        """Do nothing: the CPU has finished one pass before the next is known."""

    def results(self, p: Pass) -> tuple[Array, Array]:
        return p.losses, p.hits


def can_be_copied(X: Array, x: Columns) -> bool:
    """Whether x takes columns of X as they are, with a 1 beneath, and X is small enough to be kept twice."""
    return not is_sparse(X) and X.dtype == x.ones.dtype and x.scale == 1 and X.nbytes <= PREPARED_BYTES


def with_ones(examples: Examples) -> Array:
    """Return X with a row of ones beneath, (n + 1, m), made once: gathering is then a single copy."""
    if "with ones" not in examples.prepared:
        n, m = examples.X.shape
        examples.prepared["with ones"] = found = np.ones((n + 1, m), examples.X.dtype, order="F")
        found[:-1] = examples.X
    made: Array = examples.prepared["with ones"]
    return made
