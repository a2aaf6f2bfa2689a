"""Batch normalisation on the CPU, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host.communication import across
from gpunn.backends.host.context import Context
from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.core.equations import Equation, Normalise, NormError
from gpunn.core.ranks import Share
from gpunn.functions.calls import Array, Calls, constant


def normalise(context: Context, e: Normalise) -> Calls:
    """z ← γ (z − μ)/√(σ² + ε) + β, in place."""
    own, norm, z = e.theta.norm[e.layer], e.norm, e.z
    assert own
    variance = own["variance"]
    calls: Calls = [partial(np.subtract, z, own["mean"], norm.z)]
    if norm.by_batch:
        mean, variance = np.zeros_like(variance), np.zeros_like(variance)
        calls = _by_batch(own, mean, variance, z, norm.z, context.scratch(z), e.share)
    return [
        *calls,
        partial(np.add, variance, constant(z, NORM_EPSILON), norm.gain),
        partial(np.sqrt, norm.gain, norm.gain),
        partial(np.divide, norm.z, norm.gain, norm.z),
        partial(np.divide, own["gamma"], norm.gain, norm.gain),
        partial(np.multiply, norm.z, own["gamma"], z),
        partial(np.add, z, own["beta"], z),
    ]


def _by_batch(
    own: dict[str, Array], mean: Array, variance: Array, z: Array, centred: Array, s: Array, share: Share
) -> Calls:
    """centred ← z − mean, with mean and variance of each row of z; the running ones move towards them."""
    m = share.whole
    return [
        *_row_mean(z, mean, share),
        *across(share, mean),
        partial(np.subtract, z, mean, centred),
        partial(np.multiply, centred, centred, s),
        *_row_mean(s, variance, share),
        *across(share, variance),
        *_towards(own["mean"], mean, NORM_MOMENTUM, NORM_MOMENTUM),
        *_towards(own["variance"], variance, NORM_MOMENTUM, NORM_MOMENTUM * m / max(1, m - 1)),
    ]


def norm_error(context: Context, e: NormError) -> Calls:
    """δ back through it, in place, and [γ β] of `into` ← α [Σ δ ẑ, Σ δ] + β [γ β]."""
    own, norm, delta, scratch = e.into.norm[e.layer], e.norm, e.delta, context.scratch(e.delta)
    assert own
    alpha, beta = context.cell(e.alpha), context.cell(e.beta)
    mean, slope, s = (np.zeros_like(own["gamma"]) for _ in range(3))
    m = constant(delta, e.share.whole)
    calls: Calls = [
        partial(np.multiply, delta, norm.z, scratch),
        *_row_mean(scratch, slope, e.share),
        *_row_mean(delta, mean, e.share),
    ]
    for gradient, place in ((slope, own["gamma"]), (mean, own["beta"])):
        calls += [
            partial(np.multiply, gradient, alpha, s),
            partial(np.multiply, s, m, s),
            partial(np.multiply, place, beta, place),
            partial(np.add, place, s, place),
        ]
    if norm.by_batch:
        calls += [
            *across(e.share, slope),
            *across(e.share, mean),
            partial(np.multiply, norm.z, slope, scratch),
            partial(np.subtract, delta, scratch, delta),
            partial(np.subtract, delta, mean, delta),
        ]
    return [*calls, partial(np.multiply, delta, norm.gain, delta)]


def _row_mean(x: Array, out: Array, share: Share) -> Calls:
    """out (n, 1) ← the part of the share x (n, m) in the mean of each row over the whole mini-batch."""
    if not share.counts:
        return [partial(out.fill, 0)]
    return [
        partial(np.add.reduce, x, 1, None, out, True),
        partial(np.divide, out, constant(x, share.whole), out),
    ]


def _towards(running: Array, now: Array, forget: float, count: float) -> Calls:
    """running ← (1 − forget) running + count · now."""
    s = np.empty_like(now)
    return [
        partial(np.multiply, now, constant(now, count), s),
        partial(np.multiply, running, constant(now, 1 - forget), running),
        partial(np.add, running, s, running),
    ]


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {Normalise: normalise, NormError: norm_error}
