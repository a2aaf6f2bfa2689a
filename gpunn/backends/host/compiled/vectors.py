"""Operations over vectors in θ's layout, and of the scalars of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpunn.backends.host.compiled import source
from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.core.equations import Equation
from gpunn.core.parameters import Part
from gpunn.core.scalars import CAPACITY
from gpunn.core.vector_equations import (
    Add,
    BoundRows,
    ClipNorm,
    RefreshLowPrecision,
    Scale,
    SetRates,
    Shrink,
    Step,
)
from gpunn.functions.calls import Array

CONSTANTS = 3  # of a rule
PIECE, COLUMN_PIECE = 4096, 16  # see bounds.hpp


def scale(context: Context, e: Scale) -> Operations:
    """x ← α x."""
    alpha = context.cell(e.alpha)
    return [Operation(Code.SCALE, [*block, alpha, x], layer=l) for l, block, x in _blocks(e.x)]


def add(context: Context, e: Add) -> Operations:
    """into ← into + α x."""
    alpha, both = context.cell(e.alpha), zip(_blocks(e.x), _blocks(e.into), strict=True)
    return [Operation(Code.ADD, [*block, alpha, x, y], layer=l) for (l, block, x), (_, _, y) in both]


def shrink(context: Context, e: Shrink) -> Operations:
    """x ← x − min(max(x, −limit), limit)."""
    limit = context.cell(e.limit)
    return [Operation(Code.SHRINK, [*block, limit, x], layer=l) for l, block, x in _blocks(e.x)]


def clip_norm(context: Context, e: ClipNorm) -> Operations:
    """x ← x · min(1, limit/‖x‖)."""
    x = e.x.flat
    sums = np.empty(-(-len(x) // PIECE))
    return [
        Operation(Code.SUM_SQUARES, [len(x), x, sums]),
        Operation(Code.CLIP_NORM, [len(x), x, sums, float(e.limit)]),
    ]


def bound_rows(context: Context, e: BoundRows) -> Operations:
    """Scale each row of w down to a length of at most the limit."""
    w = e.theta.w[e.layer]
    sums = np.empty((len(w), -(-w.shape[1] // COLUMN_PIECE)), w.dtype, order="F")
    return [
        Operation(Code.SUM_ROW_SQUARES, [*w.shape, w, sums]),
        Operation(Code.BOUND_ROWS, [*w.shape, w, sums, float(e.limit)]),
    ]


def step(context: Context, e: Step) -> Operations | None:
    """θ moves along g by the rule."""
    place = source.place_of_rule(e.rule)
    if place is None:
        return None
    own = [getattr(e.rule, name) for name in e.rule.constants]
    constants = np.array([*own, *[0.0] * (CONSTANTS - len(own))])
    states = [[x for *_, x in _blocks(Part(state))] for state in e.states]
    vectors = zip(_blocks(Part(e.theta)), _blocks(Part(e.g)), *states, strict=True)
    eta = context.cell(e.eta)
    moves = [
        Operation(Code.STEP, [*block, place, constants, e.steps, eta, x, g, *kept], layer=l)
        for (l, block, x), (_, _, g), *kept in vectors
    ]
    return moves if e.steps is None else [*moves, Operation(Code.COUNT, [e.steps])]


def _blocks(part: Part) -> Iterator[tuple[int, tuple[int, int, int], Array]]:
    """Yield a part of the parameters by layer: l, (n, n_in, its size), by which threads share it, and itself.

    l is 0 for a normalisation, whose columns are not those of features.
    """
    layout, flat = part.of.layout, part.flat
    if part.kind != "all":
        n, n_in = part.of.w[part.layer].shape
        if part.kind == "norm":
            yield 0, (n, 0, len(flat)), flat
        else:
            yield part.layer, (n, n_in, len(flat)), flat
        return
    starts, end = layout.blocks(flat.itemsize)
    parts = zip(starts, [*starts[1:], end], part.of.w[1:], strict=True)
    for l, (start, stop, w) in enumerate(parts, 1):
        yield l, (*w.shape, stop - start), flat[start:stop]


def set_rates(context: Context, e: SetRates) -> Operations:
    """Every scalar ← p + q η, with η of the pass's step."""
    scalars = e.scalars
    return [Operation(Code.SET_RATES, [CAPACITY, 0, scalars.p, scalars.q, scalars.values])]


def nothing(context: Context, e: RefreshLowPrecision) -> Operations:
    """Do nothing: products read θ itself."""
    return []


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    Scale: scale,
    Add: add,
    Step: step,
    Shrink: shrink,
    ClipNorm: clip_norm,
    BoundRows: bound_rows,
    SetRates: set_rates,
    RefreshLowPrecision: nothing,
}
