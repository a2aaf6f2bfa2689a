"""Feedforward and back-propagation on the CPU: one function lowers an equation to bound calls.

A row of ones lies under every a[l] that a layer multiplies, so b rides in the product as one more column of
w, and its gradient comes out of BP4. Elementwise work runs on a contiguous copy, because NumPy is several
times slower on columns n + 1 apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host import sparse
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import Columns, SparseColumns
from gpunn.core.equations import (
    Activate,
    Affine,
    ApplyWeights,
    Drop,
    Equation,
    Forward,
    Gradient,
    HiddenError,
    OutputError,
)
from gpunn.core.examples import Pass
from gpunn.core.parameters import Parameters
from gpunn.functions import randoms
from gpunn.functions.activations import Activation
from gpunn.functions.calls import Array, Calls

# feedforward


def drop(context: Context, e: Drop) -> Calls:
    """mask ← 0 or 1 at random; a ← a ⊙ mask."""
    kept = e.a.ones[:-1]
    source = kept if e.a.plain is None else e.a.plain
    return [*_draw(e, e.p), partial(np.multiply, source, e.mask, kept)]


def _draw(e: Drop, p: Pass) -> Calls:
    """Draw the mask; every hash of 32 bits serves two elements."""
    begin, odd = divmod(e.first * len(e.mask), 2)
    flat, size = e.mask.ravel(order="K"), (odd + e.mask.size + 1) // 2
    hashed, bits, s = np.arange(begin, begin + size, dtype=np.uint32), *np.empty((2, size), np.uint32)
    randoms.mix_all(hashed, s)
    lanes, least = bits.view("<u2")[odd : odd + flat.size], np.uint16(randoms.threshold(e.rate))

    def draw() -> None:
        np.bitwise_xor(hashed, np.uint32(randoms.stream(p.key, p.step, e.layer)), bits)
        randoms.mix_all(bits, s)
        np.greater_equal(lanes, least, flat, casting="unsafe")

    return [draw]


def forward(context: Context, e: Forward) -> Calls:
    """z = w a + b, out = f(z)."""
    return [*_affine(context, e.theta, e.layer, e.a, e.z), *_activate(context, e.f, e.z, e.out)]


def affine(context: Context, e: Affine) -> Calls:
    """out = w a + b."""
    return _affine(context, e.theta, e.layer, e.a, e.out)


def _affine(context: Context, theta: Parameters, layer: int, a: Columns | SparseColumns, out: Array) -> Calls:
    if isinstance(a, SparseColumns):
        return sparse.affine(theta.w[layer], theta.b[layer], a, out)
    return context.product(float(a.scale), theta.wb[layer], a.ones, 0.0, out)


def activate(context: Context, e: Activate) -> Calls:
    """out = f(z)."""
    return _activate(context, e.f, e.z, e.out)


def _activate(context: Context, f: Activation, z: Array, out: Columns) -> Calls:
    a = out.plain
    calls = f.f(a, context.scratch(a))
    if z is not a:
        calls.insert(0, partial(np.copyto, a, z))
    if out.ones is not None:
        calls.append(partial(np.copyto, out.ones[:-1], a))
    return calls


# back-propagation


def output_error(context: Context, e: OutputError) -> Calls:
    """BP1: δ = ∇C ⊙ f′(z)."""
    a = e.a.plain
    if e.cost.pairs(e.f):
        return [partial(np.subtract, a, e.y, e.out)]
    return [*e.cost.gradient(a, e.y, e.out), *e.f.backward(e.out, a, e.z, context.scratch(a))]


def apply_weights(context: Context, e: ApplyWeights) -> Calls:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    return [partial(np.multiply, e.delta, e.weights, e.delta)]


def hidden_error(context: Context, e: HiddenError) -> Calls:
    """BP2: out = (wᵀ δ) ⊙ f′(z), and ⊙ mask, which comes before a Jacobian."""
    product = context.product(float(e.a.scale), e.theta.w[e.layer], e.delta, 0.0, e.out, trans_a=1)
    return [*product, *derive(context, e)]


def derive(context: Context, e: HiddenError) -> Calls:
    """out ← out ⊙ f′(z), and ⊙ mask, for out = wᵀ δ."""
    masking: Calls = [] if e.mask is None else [partial(np.multiply, e.out, e.mask, e.out)]
    derivative = e.f.backward(e.out, e.a.plain, e.z, context.scratch(e.z))
    return [*masking, *derivative] if e.f.by_column else [*derivative, *masking]


def gradient(context: Context, e: Gradient) -> Calls:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b]."""
    alpha, beta = context.cell(e.alpha.times(e.a.scale)), context.cell(e.beta)
    if isinstance(e.a, SparseColumns):
        return sparse.gradient(alpha, e.delta, e.a, beta, e.into.w[e.layer], e.into.b[e.layer])
    return context.product(alpha, e.delta, e.a.ones, beta, e.into.wb[e.layer], trans_b=1)


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {
    Drop: drop,
    Forward: forward,
    Affine: affine,
    Activate: activate,
    OutputError: output_error,
    ApplyWeights: apply_weights,
    HiddenError: hidden_error,
    Gradient: gradient,
}
