"""The CUDA equations over vectors: the scalars of a step, and how θ, gradients and states move by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.memory import Narrowed
from gpunn.backends.cuda.source import THREADS, constants_of, rule_source
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
from gpunn.functions.calls import Calls


def set_rates(k: Kernels, e: SetRates) -> Calls:
    """Every scalar ← p + q η, with η of the pass's step."""
    scalars, p = e.scalars, e.p
    return k.each("set_rates", CAPACITY, *scalars.on_device, p.etas, p.step, scalars.values)


def refresh_low_precision(k: Kernels, e: RefreshLowPrecision) -> Calls:
    """Round θ to the copy that products read, if there is one."""
    copy = k.memory.low_precision(e.theta)
    if not isinstance(copy, Narrowed):
        return []
    packs = copy.flat.size // k.pack
    return k.each("narrow", packs, copy.table.shape[1], copy.table, e.theta.flat, copy.flat)


def scale(k: Kernels, e: Scale) -> Calls:
    """x ← α x."""
    x = e.x.flat
    return k.each("scale", x.size, k.memory.cell(e.alpha), x)


def add(k: Kernels, e: Add) -> Calls:
    """into ← into + α x."""
    x = e.x.flat
    return k.each("add", x.size, k.memory.cell(e.alpha), x, e.into.flat)


def step(k: Kernels, e: Step) -> Calls:
    """θ moves along g by the rule's own C spelling."""
    module, constants, rate = rule_source(e.rule), constants_of(e.rule), k.memory.cell(e.eta)
    first, second = [*(state.flat for state in e.states), e.g.flat, e.g.flat][:2]
    pace, calls = rate, []
    if e.rule.counts_steps:
        pace = e.steps
        calls = k.each("begin_step", 1, rate, *map(np.float64, constants), pace, module=module)
    vectors = e.theta.flat, e.g.flat, first, second
    return [*calls, *k.each("step", e.theta.flat.size, *vectors, *constants, pace, module=module)]


def shrink(k: Kernels, e: Shrink) -> Calls:
    """x ← x − min(max(x, −limit), limit)."""
    x = e.x.flat
    return k.each("shrink", x.size, k.memory.cell(e.limit), x)


def clip_norm(k: Kernels, e: ClipNorm) -> Calls:
    """Sum squares in each block; then every block adds those sums up, in the same order, and scales."""
    x = e.x.flat
    sums, blocks = k.memory.put(np.zeros(THREADS)), min(THREADS, -(-x.size // THREADS))
    return [
        *k.launch("sum_squares", blocks, THREADS, x.size, x, sums),
        *k.each("clip", x.size, float(e.limit), sums, x),
    ]


def bound_rows(k: Kernels, e: BoundRows) -> Calls:
    """Scale each row of w down to a length of at most the limit."""
    w = e.theta.w[e.layer]
    return k.rows("bound_rows", *w.shape, float(e.limit), w)


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {
    SetRates: set_rates,
    RefreshLowPrecision: refresh_low_precision,
    Scale: scale,
    Add: add,
    Step: step,
    Shrink: shrink,
    ClipNorm: clip_norm,
    BoundRows: bound_rows,
}
