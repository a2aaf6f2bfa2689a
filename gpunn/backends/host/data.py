"""Examples on the CPU, and passes over them."""

from __future__ import annotations

import numpy as np

from gpunn.core.examples import Examples, Pass
from gpunn.core.inputs import dense, is_sparse
from gpunn.functions.calls import Array


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
