"""The CPU's equations over vectors: the scalars of a step, and how θ, gradients and states move by them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host.context import Context
from gpunn.core.equations import Equation
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
from gpunn.functions.calls import Calls, constant


def set_rates(context: Context, e: SetRates) -> Calls:
    """Every scalar ← p + q η, with η of the pass's step."""
    scalars, p, exact = e.scalars, e.p, np.empty(CAPACITY)

    def set_rates() -> None:
        np.multiply(scalars.q, p.etas[p.step], exact)
        np.add(exact, scalars.p, exact)
        np.copyto(scalars.values, exact, "same_kind")

    return [set_rates]


def scale(context: Context, e: Scale) -> Calls:
    """x ← α x."""
    x = e.x.flat
    return [partial(np.multiply, x, context.cell(e.alpha), x)]


def add(context: Context, e: Add) -> Calls:
    """into ← into + α x."""
    x = e.x.flat
    return [partial(context.axpy, x, e.into.flat, len(x), context.cell(e.alpha))]


def step(context: Context, e: Step) -> Calls:
    """θ moves along g by the rule's own NumPy spelling."""
    states = [state.flat for state in e.states]
    return list(e.rule.numpy(e.theta.flat, e.g.flat, *states, eta=context.cell(e.eta), steps=e.steps))


def shrink(context: Context, e: Shrink) -> Calls:
    """x ← x − min(max(x, −limit), limit)."""
    high, x = context.cell(e.limit), e.x.flat
    low, s = constant(x, 0), np.empty_like(x)
    return [
        partial(np.negative, high, low),
        partial(np.clip, x, low, high, s),
        partial(np.subtract, x, s, x),
    ]


def clip_norm(context: Context, e: ClipNorm) -> Calls:
    """x ← x · min(1, limit/‖x‖)."""
    norm, limit, x = context.nrm2, e.limit, e.x.flat

    def clip() -> None:
        length = norm(x)
        if length > limit:
            np.multiply(x, constant(x, limit / length), x)

    return [clip]


def bound_rows(context: Context, e: BoundRows) -> Calls:
    """Scale each row of w down to a length of at most the limit."""
    w = e.theta.w[e.layer]
    squares, lengths, most = np.empty_like(w), np.empty((len(w), 1), w.dtype), constant(w, e.limit)
    return [
        partial(np.multiply, w, w, squares),
        partial(np.add.reduce, squares, 1, None, lengths, True),
        partial(np.sqrt, lengths, lengths),
        partial(np.maximum, lengths, most, out=lengths),
        partial(np.divide, most, lengths, lengths),
        partial(np.multiply, w, lengths, w),
    ]


def nothing(context: Context, e: RefreshLowPrecision) -> Calls:
    """Do nothing: products read θ itself."""
    return []


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {
    SetRates: set_rates,
    RefreshLowPrecision: nothing,
    Scale: scale,
    Add: add,
    Step: step,
    Shrink: shrink,
    ClipNorm: clip_norm,
    BoundRows: bound_rows,
}
