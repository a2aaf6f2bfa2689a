"""Costs that are minus a log-likelihood: the two cross-entropies and poisson.

Each is defined for outputs in an open interval, and level outside it.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from gpunn.functions.calls import Array, Calls, constant
from gpunn.functions.costs.cost import Cost


def _above_zero(a: Array, out: Array) -> Calls:
    """out ← max(a, the type's smallest normal number), so that ln a is finite."""
    return [partial(np.maximum, a, constant(a, np.finfo(a.dtype).tiny), out=out)]


def _inside(a: Array, out: Array) -> Calls:
    """out ← a, kept so far inside (0, 1) that both ln a and ln(1 − a) are finite."""
    most = float(1 - np.finfo(a.dtype).epsneg)
    return [*_above_zero(a, out), partial(np.minimum, out, constant(a, most), out=out)]


def _zero_outside(a: Array, inside: Array, out: Array) -> Calls:
    """out ← 0 for the outputs that were outside the domain: the cost is level there."""
    outside = np.empty(a.shape, bool, order="F")
    return [partial(np.not_equal, inside, a, outside), partial(np.copyto, out, 0, where=outside)]


def _cross_entropy(a: Array, y: Array, out: Array) -> Calls:
    """−y ln a."""
    return [
        *_above_zero(a, out),
        partial(np.log, out, out),
        partial(np.multiply, out, y, out),
        partial(np.negative, out, out),
    ]


def _cross_entropy_gradient(a: Array, y: Array, out: Array) -> Calls:
    """−y / a."""
    inside = np.empty_like(a)
    return [
        *_above_zero(a, inside),
        partial(np.divide, y, inside, out),
        partial(np.negative, out, out),
        *_zero_outside(a, inside, out),
    ]


CROSS_ENTROPY = Cost(
    "cross-entropy",
    _cross_entropy,
    _cross_entropy_gradient,
    cuda=("-y * log(above_zero(a))", "a > TINY ? -y / a : T(0)"),
    pairs_with="softmax",
    domain=(0, 1),
    of_targets=True,
    latex=r"-\sum y \ln a",
    source="Nielsen, chapter 3",
)


def _binary_cross_entropy(a: Array, y: Array, out: Array) -> Calls:
    """−y ln a − (1 − y) ln(1 − a) = (y − 1) ln(1 − a) − y ln a."""
    rest, weight = np.empty_like(a), np.empty_like(a)
    return [
        *_inside(a, out),
        partial(np.negative, out, rest),
        partial(np.log1p, rest, rest),
        partial(np.subtract, y, constant(a, 1), weight),
        partial(np.multiply, rest, weight, rest),
        partial(np.log, out, out),
        partial(np.multiply, out, y, out),
        partial(np.subtract, rest, out, out),
    ]


def _binary_cross_entropy_gradient(a: Array, y: Array, out: Array) -> Calls:
    """(a − y) / (a (1 − a))."""
    inside, error = np.empty_like(a), np.empty_like(a)
    return [
        *_inside(a, inside),
        partial(np.subtract, inside, y, error),
        partial(np.subtract, constant(a, 1), inside, out),
        partial(np.multiply, out, inside, out),
        partial(np.divide, error, out, out),
        *_zero_outside(a, inside, out),
    ]


def _binary_cross_entropy_of_z(z: Array, y: Array, out: Array) -> Calls:
    """max(z, 0) − z y + ln(1 + e^−|z|), which does not overflow for any z."""
    rest = np.empty_like(z)
    return [
        partial(np.abs, z, out),
        partial(np.negative, out, out),
        partial(np.exp, out, out),
        partial(np.log1p, out, out),
        partial(np.maximum, z, constant(z, 0), out=rest),
        partial(np.add, out, rest, out),
        partial(np.multiply, z, y, rest),
        partial(np.subtract, out, rest, out),
    ]


BINARY_CROSS_ENTROPY = Cost(
    "binary-cross-entropy",
    _binary_cross_entropy,
    _binary_cross_entropy_gradient,
    cuda=(
        "(y - 1) * log1p(-inside(a)) - y * log(inside(a))",
        "inside(a) == a ? (a - y) / (a * (1 - a)) : T(0)",
    ),
    pairs_with="sigmoid",
    domain=(0, 1),
    loss_of_z=_binary_cross_entropy_of_z,
    cuda_of_z="(z > 0 ? z : T(0)) - z * y + log1p(exp(-fabs(z)))",
    latex=r"-\sum \left( y \ln a + (1 - y) \ln (1 - a) \right)",
    source="Nielsen, chapter 3",
)


def _poisson(a: Array, y: Array, out: Array) -> Calls:
    """a − y ln a: minus the logarithm of Poisson's e⁻ᵃ aʸ / y!, without the term ln y!, constant in a."""
    inside = np.empty_like(a)
    return [
        *_above_zero(a, inside),
        partial(np.log, inside, out),
        partial(np.multiply, out, y, out),
        partial(np.subtract, inside, out, out),
    ]


def _poisson_gradient(a: Array, y: Array, out: Array) -> Calls:
    """1 − y / a."""
    inside = np.empty_like(a)
    return [
        *_above_zero(a, inside),
        partial(np.divide, y, inside, out),
        partial(np.subtract, constant(a, 1), out, out),
        *_zero_outside(a, inside, out),
    ]


POISSON = Cost(
    "poisson",
    _poisson,
    _poisson_gradient,
    cuda=("above_zero(a) - y * log(above_zero(a))", "a > TINY ? 1 - y / a : T(0)"),
    pairs_with="exp",
    domain=(0, math.inf),
    latex=r"\sum \left( a - y \ln a \right)",
    source="Nelder and Wedderburn 1972",
)
