"""Operations of batch normalisation, and of the activation that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backends.host.compiled import source
from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.core.equations import Activate, Equation, Normalise, NormError


def normalise(context: Context, e: Normalise) -> Operations | None:
    """z ← γ (z − μ)/√(σ² + ε) + β, in place; None if ranks share the mini-batch."""
    own, norm = e.theta.norm[e.layer], e.norm
    if e.share.ranks is not None:
        return None
    assert own
    fields = [*e.z.shape, norm.by_batch, NORM_EPSILON, NORM_MOMENTUM, e.z, norm.z, norm.gain]
    fields += [own[name] for name in ("mean", "variance", "gamma", "beta")]
    return [Operation(Code.NORMALISE, fields)]


def activate(context: Context, e: Activate) -> Operations | None:
    """out = f(z)."""
    place = source.place_of_activation(e.f)
    if place is None:
        return None
    return [Operation(Code.ACTIVATE, [*e.z.shape, place, e.z, e.out.plain, e.out.ones])]


def norm_error(context: Context, e: NormError) -> Operations | None:
    """δ back through it, in place, and [γ β] of `into` ← α [Σ δ ẑ, Σ δ] + β [γ β]."""
    own, norm = e.into.norm[e.layer], e.norm
    if e.share.ranks is not None:
        return None
    assert own
    alpha, beta = context.cell(e.alpha), context.cell(e.beta)
    fields = [*e.delta.shape, norm.by_batch, alpha, beta, norm.z, norm.gain, e.delta]
    return [Operation(Code.NORM_ERROR, [*fields, own["gamma"], own["beta"]])]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    Normalise: normalise,
    Activate: activate,
    NormError: norm_error,
}
