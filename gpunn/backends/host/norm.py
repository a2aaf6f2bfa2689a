"""Batch normalisation on the CPU, there and back."""

from __future__ import annotations

from functools import partial

import numpy as np

from gpunn.backends.host.memory import Norm
from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.functions.calls import Array, Calls, constant


def normalize(own: dict[str, Array], norm: Norm, z: Array, scratch: Array) -> Calls:
    """z (n, m) ← γ ẑ + β, in place; own: gamma, beta, and the running mean and variance, (n, 1) each."""
    calls: Calls = [partial(np.subtract, z, own["mean"], norm.z)]
    variance = own["variance"]
    if norm.by_batch:
        mean, variance = np.zeros_like(variance), np.zeros_like(variance)
        m = z.shape[1]
        calls = [
            *_row_mean(z, mean),
            partial(np.subtract, z, mean, norm.z),
            partial(np.multiply, norm.z, norm.z, scratch),
            *_row_mean(scratch, variance),
            *_towards(own["mean"], mean, NORM_MOMENTUM, NORM_MOMENTUM),
            *_towards(own["variance"], variance, NORM_MOMENTUM, NORM_MOMENTUM * m / max(1, m - 1)),
        ]
    return [
        *calls,
        partial(np.add, variance, constant(z, NORM_EPSILON), norm.gain),
        partial(np.sqrt, norm.gain, norm.gain),
        partial(np.divide, norm.z, norm.gain, norm.z),
        partial(np.divide, own["gamma"], norm.gain, norm.gain),
        partial(np.multiply, norm.z, own["gamma"], z),
        partial(np.add, z, own["beta"], z),
    ]


def norm_error(
    own: dict[str, Array], norm: Norm, delta: Array, scratch: Array, by: Array, keep: Array
) -> Calls:
    """δ (n, m) back through it, in place; own: where gamma's and beta's gradient lands, by and keep: how."""
    mean, slope, s = (np.zeros_like(own["gamma"]) for _ in range(3))
    m = constant(delta, delta.shape[1])
    calls: Calls = [
        partial(np.multiply, delta, norm.z, scratch),
        *_row_mean(scratch, slope),
        *_row_mean(delta, mean),
    ]
    for gradient, place in ((slope, own["gamma"]), (mean, own["beta"])):
        calls += [
            partial(np.multiply, gradient, by, s),
            partial(np.multiply, s, m, s),
            partial(np.multiply, place, keep, place),
            partial(np.add, place, s, place),
        ]
    if norm.by_batch:
        calls += [
            partial(np.multiply, norm.z, slope, scratch),
            partial(np.subtract, delta, scratch, delta),
            partial(np.subtract, delta, mean, delta),
        ]
    return [*calls, partial(np.multiply, delta, norm.gain, delta)]


def _row_mean(x: Array, out: Array) -> Calls:
    """out (n, 1) ← the mean of each row of x (n, m)."""
    return [
        partial(np.add.reduce, x, 1, None, out, True),
        partial(np.divide, out, constant(x, x.shape[1]), out),
    ]


def _towards(running: Array, now: Array, forget: float, count: float) -> Calls:
    """running ← (1 − forget) running + count · now."""
    s = np.empty_like(now)
    return [
        partial(np.multiply, now, constant(now, count), s),
        partial(np.multiply, running, constant(now, 1 - forget), running),
        partial(np.add, running, s, running),
    ]
