"""The CPU's passes over θ: the scalars of a step, and how an optimizer moves vectors by them.

NumPy and BLAS go over memory once a call, so what counts is how many calls a step takes. They work block
by block, so that the blocks of all an optimizer's vectors stay in one core's cache together: OpenBLAS
spreads a long axpy over all cores, and with it the block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.linalg import blas

from gpunn.backends.host.memory import Storage
from gpunn.core.backend import Pass
from gpunn.core.rates import CAPACITY, Rates, Scalar
from gpunn.functions.calls import Array, Calls, constant

ALONE = 1 << 13  # elements of an axpy that OpenBLAS leaves to one core: up to 10,000
BLOCK = 3 * ALONE  # five blocks of float32 take half of a cache of 1 MB
GROWTH = 1024.0  # by which the numbers of an average may grow


class Vectors(Storage):
    """The verbs that know vectors only."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype)
        single = self.dtype == np.float32
        self._axpy = blas.saxpy if single else blas.daxpy
        self._nrm2 = blas.snrm2 if single else blas.dnrm2
        self._gemv = blas.sgemv if single else blas.dgemv

    def rates(self, eta: float) -> Rates:
        return Rates(eta, np.zeros(CAPACITY, self.dtype))

    def _cell(self, scalar: Scalar) -> Array:
        """The scalar as a 0-d view, which BLAS and the ufuncs read when they run."""
        rates, index = scalar.rates, scalar.index
        rates.values[index] = scalar.p + scalar.q * rates.eta
        return rates.values[index : index + 1].reshape(())

    def follow(self, rates: Rates, p: Pass) -> Calls:
        exact = np.empty(CAPACITY)

        def follow() -> None:
            np.multiply(rates.q, p.etas[p.step], exact)
            np.add(exact, rates.p, exact)
            np.copyto(rates.values, exact, "same_kind")

        return [follow]

    def add(self, alpha: Scalar, x: Array, *, into: Array) -> Calls:
        return [partial(self._axpy, x, into, len(x), self._cell(alpha))]

    def scale(self, alpha: Scalar, x: Array) -> Calls:
        return [partial(np.multiply, x, self._cell(alpha), x)]

    def adam(
        self,
        theta: Array,
        g: Array,
        m: Array,
        v: Array,
        eta: Scalar,
        beta1: float,
        beta2: float,
        epsilon: float,
        steps: Array,
    ) -> Calls:
        """m and v are kept as `Average` says, so that a step is seven passes and not nine."""
        first, second = Average(m, beta1), Average(v, beta2)
        rate, small, now = constant(theta, 0), constant(theta, 0), self._cell(eta)

        def begin() -> None:
            t = steps[0] = steps.item(0) + 1
            first.begin(t)
            second.begin(t)
            unbias, root = math.sqrt(1 - beta2**t), math.sqrt(second.factor)
            rate[()] = -now * unbias / (1 - beta1**t) * first.factor / root
            small[()] = epsilon * unbias / root

        calls: Calls = [begin]
        for x, g_, m_, v_, s in blocks(theta, g, m, v):
            calls += [
                *self._plus(first.share, g_, m_),
                *self._plus_square(second.share, g_, v_, s),
                *self._step(m_, v_, small, rate, x, s),
            ]
        return calls

    def rms(self, theta: Array, g: Array, v: Array, eta: Scalar, rho: float, epsilon: float) -> Calls:
        rate, small, now = constant(theta, 0), constant(theta, epsilon), self._cell(eta)
        calls: Calls = [partial(np.negative, now, rate)]
        for x, g_, v_, s in blocks(theta, g, v):
            calls += [
                partial(np.multiply, v_, constant(v, rho), v_),
                *self._plus_square(constant(v, 1 - rho), g_, v_, s),
                *self._step(g_, v_, small, rate, x, s),
            ]
        return calls

    def _plus(self, alpha: Array, x: Array, into: Array) -> Calls:
        """into ← into + alpha x, for a block, on one core."""
        pieces = (slice(start, start + ALONE) for start in range(0, len(x), ALONE))
        return [partial(self._axpy, x[i], into[i], len(x[i]), alpha) for i in pieces]

    def _plus_square(self, share: Array, g: Array, v: Array, s: Array) -> Calls:
        """v ← v + share · g²."""
        return [partial(np.multiply, g, g, s), *self._plus(share, s, v)]

    def _step(self, m: Array, v: Array, small: Array, rate: Array, theta: Array, s: Array) -> Calls:
        """θ ← θ + rate · m / (√v + small)."""
        return [
            partial(np.sqrt, v, s),
            partial(np.add, s, small, s),
            partial(np.divide, m, s, s),
            *self._plus(rate, s, theta),
        ]

    def shrink(self, limit: Scalar, x: Array) -> Calls:
        high, low = self._cell(limit), constant(x, 0)
        calls: Calls = [partial(np.negative, high, low)]
        for part, s in blocks(x):
            calls += [partial(part.clip, low, high, s), partial(np.subtract, part, s, part)]
        return calls

    def clip(self, limit: float, x: Array) -> Calls:
        norm = self._nrm2

        def clip() -> None:
            length = norm(x)
            if length > limit:
                np.multiply(x, constant(x, limit / length), x)

        return [clip]

    def bound_rows(self, limit: float, w: Array) -> Calls:
        squares, ones, n = np.empty_like(w), np.ones(w.shape[1], self.dtype), w.shape[0]
        lengths, most = np.empty(n, self.dtype), constant(w, limit)
        return [
            partial(np.multiply, w, w, squares),
            partial(self._gemv, 1.0, squares, ones, 0.0, lengths, 0, 1, 0, 1, 0, 1),  # sums the rows
            partial(np.sqrt, lengths, lengths),
            partial(np.maximum, lengths, most, out=lengths),
            partial(np.divide, most, lengths, lengths),
            partial(np.multiply, w, lengths[:, None], w),
        ]


class Average:
    """An average x ← β x + (1 − β) y over the steps, in one pass a step instead of two.

    x is kept divided by `factor` = βᵏ, k steps after it was last multiplied out, so y comes in by
    `share` = (1 − β)/βᵏ and nothing else changes. Multiplied out before it has grown by more than GROWTH.
    """

    def __init__(self, x: Array, beta: float) -> None:
        self.x, self.beta = x, beta
        self.period = max(1, int(math.log(GROWTH) / -math.log(beta))) if beta > 0 else 1
        self.factor, self.share = 1.0, constant(x, 0)

    def begin(self, t: int) -> None:
        """Step t = 1, 2, … begins."""
        k = int(t - 1) % self.period
        if k == 0:
            np.multiply(self.x, constant(self.x, self.beta**self.period), self.x)
        self.factor = self.beta**k
        self.share[()] = (1 - self.beta) / self.factor


def blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    """The vectors' blocks, side by side, and as many elements of scratch."""
    s = np.empty(min(BLOCK, len(vectors[0])), vectors[0].dtype)
    for start in range(0, len(vectors[0]), BLOCK):
        parts = [x[start : start + BLOCK] for x in vectors]
        yield *parts, s[: len(parts[0])]
