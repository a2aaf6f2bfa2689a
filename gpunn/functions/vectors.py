"""Bound calls over whole vectors, of which the optimizers' NumPy spellings consist."""

from __future__ import annotations

from functools import partial

import numpy as np

from gpunn.functions.calls import Array, Calls, constant


def average(x: Array, beta: float, y: Array, s: Array) -> Calls:
    """x ← β x + (1 − β) y; s is scratch, and may be y."""
    return [
        partial(np.multiply, x, constant(x, beta), x),
        partial(np.multiply, y, constant(y, 1 - beta), s),
        partial(np.add, x, s, x),
    ]


def move(x: Array, rate: Array, direction: Array, s: Array) -> Calls:
    """x ← x − rate · direction; s is scratch, and may be the direction."""
    return [partial(np.multiply, direction, rate, s), partial(np.subtract, x, s, x)]


def divide_by_root(m: Array, v: Array, epsilon: Array, out: Array) -> Calls:
    """out ← m / (√v + ε)."""
    return [
        partial(np.sqrt, v, out),
        partial(np.add, out, epsilon, out),
        partial(np.divide, m, out, out),
    ]
