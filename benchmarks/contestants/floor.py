"""The floor on a CPU: only the matrix products of a training step, in SciPy's BLAS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import blas

from benchmarks.contestants.base import Weights, timed
from benchmarks.nets import Problem

ALPHA = 1e-9  # for products that accumulate, so that the numbers barely change


@dataclass(frozen=True)
class Product:
    """C (rows, columns) ← A (rows, inner) · B (inner, columns), for one layer; BP4 adds to C."""

    kind: str  # feedforward, BP2 or BP4
    layer: int
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.columns


def products(sizes: Sequence[int], m: int) -> list[Product]:
    """Return a step's products in order; the error of layer 0 is not needed."""
    L, n = len(sizes) - 1, sizes
    found = [Product("feedforward", l, n[l], n[l - 1], m) for l in range(1, L + 1)]
    for l in range(L, 0, -1):
        if l > 1:
            found.append(Product("BP2", l, n[l - 1], n[l], m))
        found.append(Product("BP4", l, n[l], m, n[l - 1]))
    return found


class Floor:
    """Run a step's products on fixed buffers."""

    def __init__(self, problem: Problem) -> None:
        sizes, m = problem.net.sizes, problem.net.batch_size
        self.batch_size, self.max_examples = m, problem.data.X.shape[1]
        self.w = [np.empty((0, 0)), *(np.asfortranarray(w) for w, _ in problem.start)]
        rng = np.random.default_rng(0)
        self.a, self.delta = (
            [np.asfortranarray(rng.standard_normal((n, m)), np.float32) for n in sizes] for _ in range(2)
        )
        self.calls = [self._bind(product) for product in products(sizes, m)]

    def _bind(self, product: Product) -> Callable[[], object]:
        """Bind sgemm(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c); column-major, without copies."""
        l, w, a, delta = product.layer, self.w, self.a, self.delta
        if product.kind == "feedforward":
            return partial(blas.sgemm, 1, w[l], a[l - 1], 0, a[l], 0, 0, 1)
        if product.kind == "BP2":
            return partial(blas.sgemm, 1, w[l], delta[l], 0, delta[l - 1], 1, 0, 1)
        return partial(blas.sgemm, ALPHA, delta[l], a[l - 1], 1, w[l], 0, 1, 1)

    def seconds(self, m: int, epochs: int) -> float:
        steps, calls = m // self.batch_size, self.calls

        def epoch() -> None:
            for _ in range(steps):
                for call in calls:
                    call()

        return timed(epoch, epochs)

    def weights(self) -> Weights:
        raise NotImplementedError("the floor does not train")
