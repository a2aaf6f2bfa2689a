"""Bound calls over long vectors, block by block.

NumPy and BLAS read and write memory once a call, so what counts is how many calls a step takes. Working in
blocks keeps the blocks of all an optimizer's vectors in one core's cache together: OpenBLAS would spread a
long axpy, and with it the block, over all cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import scipy  # loads scipy.linalg when a step is bound: help and settings do without

from gpunn.functions.calls import Array, Calls, constant

ALONE = 1 << 13  # elements of an axpy that OpenBLAS leaves to one core: up to 10,000
BLOCK = 3 * ALONE  # five blocks of float32 take half of a cache of 1 MB
GROWTH = 1024.0  # factor by which the numbers of an average may grow


def blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the vectors' blocks side by side, and as many elements of scratch."""
    s = np.empty(min(BLOCK, len(vectors[0])), vectors[0].dtype)
    for start in range(0, len(vectors[0]), BLOCK):
        parts = [x[start : start + BLOCK] for x in vectors]
        yield *parts, s[: len(parts[0])]


def add(alpha: Array, x: Array, into: Array) -> Calls:
    """into ← into + alpha x, for a block, on one core."""
    axpy = scipy.linalg.blas.saxpy if x.dtype == np.float32 else scipy.linalg.blas.daxpy
    pieces = (slice(start, start + ALONE) for start in range(0, len(x), ALONE))
    return [partial(axpy, x[i], into[i], len(x[i]), alpha) for i in pieces]


def add_square(alpha: Array, x: Array, into: Array, s: Array) -> Calls:
    """into ← into + alpha x², for a block; s is scratch."""
    return [partial(np.multiply, x, x, s), *add(alpha, s, into)]


def add_scaled_by_root(rate: Array, m: Array, v: Array, epsilon: Array, into: Array, s: Array) -> Calls:
    """into ← into + rate · m / (√v + ε), for a block; s is scratch."""
    return [
        partial(np.sqrt, v, s),
        partial(np.add, s, epsilon, s),
        partial(np.divide, m, s, s),
        *add(rate, s, into),
    ]


class Average:
    """A moving average x ← β x + (1 − β) y over the steps, in one pass a step instead of two.

    x is kept divided by βᵏ, k steps after it was last multiplied out, so y comes in by
    `share` = (1 − β)/βᵏ and nothing else changes. x is multiplied out before it has grown by GROWTH.
    """

    def __init__(self, x: Array, beta: float) -> None:
        self.x, self.beta = x, beta
        self.period = max(1, int(math.log(GROWTH) / -math.log(beta))) if beta > 0 else 1
        self.share = constant(x, 0)

    def begin(self, t: float) -> float:
        """Begin step t = 1, 2, …, and return βᵏ."""
        beta, k = self.beta, (t - 1) % self.period
        if k == 0:
            np.multiply(self.x, constant(self.x, beta**self.period), self.x)
        factor: float = beta**k
        self.share[()] = (1 - beta) / factor
        return factor
