"""The CUDA verbs that treat θ, gradients and the optimizers' state as vectors."""

from __future__ import annotations

import numpy as np

from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.memory import THREADS, Storage
from gpunn.core.backend import Pass
from gpunn.core.rates import CAPACITY, Rates, Scalar
from gpunn.functions.calls import Calls


class Vectors(Storage):
    """The verbs that know vectors only."""

    def follow(self, rates: Rates, p: Pass) -> Calls:
        return self._each("follow", CAPACITY, *rates.known_to_backend, p.etas, p.step, rates.values)

    def add(self, alpha: Scalar, x: Buffer, *, into: Buffer) -> Calls:
        return self._each("add", x.size, self._cell(alpha), x, into)

    def scale(self, alpha: Scalar, x: Buffer) -> Calls:
        return self._each("scale", x.size, self._cell(alpha), x)

    def adam(
        self,
        theta: Buffer,
        g: Buffer,
        m: Buffer,
        v: Buffer,
        eta: Scalar,
        beta1: float,
        beta2: float,
        epsilon: float,
        steps: Buffer,
    ) -> Calls:
        settings = [np.float64(x) for x in (beta1, beta2, epsilon)]
        return [
            *self._each("adam_begin", 1, self._cell(eta), *settings, steps),
            *self._each("adam", theta.size, theta, g, m, v, beta1, beta2, steps),
        ]

    def rms(self, theta: Buffer, g: Buffer, v: Buffer, eta: Scalar, rho: float, epsilon: float) -> Calls:
        return self._each("rms", theta.size, theta, g, v, self._cell(eta), rho, epsilon)

    def shrink(self, limit: Scalar, x: Buffer) -> Calls:
        return self._each("shrink", x.size, self._cell(limit), x)

    def clip(self, limit: float, x: Buffer) -> Calls:
        """Each block's sum of squares; then every block adds those up, in the same order, and scales."""
        sums, blocks = self._put(np.zeros(THREADS)), min(THREADS, -(-x.size // THREADS))
        return [
            *self._launch("sum_squares", blocks, THREADS, x.size, x, sums),
            *self._each("clip", x.size, float(limit), sums, x),
        ]

    def bound_rows(self, limit: float, w: Buffer) -> Calls:
        return self._rows("bound_rows", *w.shape, float(limit), w)
