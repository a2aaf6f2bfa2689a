"""Operations of a layer: its products, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backends.host.compiled import source, sparse
from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.compiled.outputs import softmax_error
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import Columns, SparseColumns
from gpunn.core.equations import Affine, Equation, Forward, Gradient, HiddenError
from gpunn.core.parameters import Parameters
from gpunn.functions.activations import Activation
from gpunn.functions.activations.outputs import IDENTITY
from gpunn.functions.calls import Array

SMALL, MANY = 1 << 16, 64  # a small w is read by all threads if there are many columns to share
SPLIT = 256  # features, from which on the sums of each half are computed apart,
LARGE = 1 << 20  # unless w is larger, and stays in no cache from step to step


def forward(context: Context, e: Forward) -> Operations | None:
    """z = w a + b, out = f(z)."""
    return _forward(context, e.theta, e.layer, e.a, e.z, e.out.plain, e.out.ones, e.f)


def affine(context: Context, e: Affine) -> Operations | None:
    """out = w a + b."""
    return _forward(context, e.theta, e.layer, e.a, e.out, e.out, None, IDENTITY)


def _forward(
    context: Context,
    theta: Parameters,
    layer: int,
    a: Columns | SparseColumns,
    z: Array,
    out: Array,
    ones: Array | None,
    f: Activation,
) -> Operations | None:
    place = source.place_of_activation(f)
    if place is None:
        return None
    if isinstance(a, SparseColumns):
        product = sparse.affine(theta, layer, a, z)
        return [product, Operation(Code.ACTIVATE, [*z.shape, place, z, out, ones])] if product else None
    x, w = a.ones, theta.wb[layer]
    (n, k), m = w.shape, x.shape[1]
    half = context.scratch(z) if k > SPLIT and n * k < LARGE else None
    fields = [n, k, m, w, x, k, float(a.scale), z, out, ones, place, half]
    return [Operation(Code.FORWARD, fields, n * k * m)]


def hidden_error(context: Context, e: HiddenError) -> Operations | None:
    """BP2: out = (wᵀ δ) ⊙ f′(z), and ⊙ mask."""
    f = source.place_of_activation(e.f)
    if f is None:
        return None
    (n, n_in), m, w = e.theta.w[e.layer].shape, e.delta.shape[1], e.theta.w[e.layer]
    by_columns = n * n_in <= SMALL and m >= MANY
    fields = [n, n_in, m, by_columns, w, e.delta, float(e.a.scale), e.a.plain, e.z, e.mask, e.out]
    fields.append(source.IDENTITY_PLACE if e.f.by_column else f)
    work, before = n * n_in * m, e.layer - 1
    error = Operation(Code.HIDDEN_ERROR, fields, work, shares_features=not by_columns, layer=before)
    return [error, *softmax_error(e.a.plain, e.out)] if e.f.by_column else [error]


def gradient(context: Context, e: Gradient) -> Operations | None:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b]."""
    alpha, beta = context.cell(e.alpha.times(e.a.scale)), context.cell(e.beta)
    if isinstance(e.a, SparseColumns):
        product = sparse.gradient(e.into, e.layer, e.delta, e.a, [alpha, beta])
        return [product] if product else None
    x, into = e.a.ones, e.into.wb[e.layer]
    (n, k), m = into.shape, x.shape[1]
    return [Operation(Code.GRADIENT, [n, k, m, e.delta, x, k, alpha, beta, into], n * k * m, layer=e.layer)]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    Forward: forward,
    Affine: affine,
    HiddenError: hidden_error,
    Gradient: gradient,
}
