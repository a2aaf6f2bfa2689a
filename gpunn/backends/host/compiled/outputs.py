"""Operations of the outputs: their error, their losses and their hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backends.host.compiled import source
from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.core.equations import ApplyWeights, Equation, OutputError
from gpunn.core.pass_equations import CollectOutputs, Measure, WeighLosses
from gpunn.functions.calls import Array


def output_error(context: Context, e: OutputError) -> Operations | None:
    """BP1: δ = ∇C ⊙ f′(z)."""
    gradient, f = source.place_of_gradient(e.cost, e.f), source.place_of_activation(e.f)
    if gradient is None or f is None:
        return None
    by_column = e.f.by_column and not e.cost.pairs(e.f)
    fields = [*e.y.shape, e.a.plain, e.y, e.z, e.out, gradient, source.IDENTITY_PLACE if by_column else f]
    error = Operation(Code.OUTPUT_ERROR, [*fields, source.parameter_of(e.cost)])
    return [error, *softmax_error(e.a.plain, e.out)] if by_column else [error]


def softmax_error(a: Array, delta: Array) -> Operations:
    """δ ← a ⊙ (δ − Σ δ ⊙ a): the product with the softmax's full Jacobian."""
    return [Operation(Code.SOFTMAX_ERROR, [*a.shape, a, delta])]


def apply_weights(context: Context, e: ApplyWeights) -> Operations:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    return [Operation(Code.APPLY_WEIGHTS, [*e.delta.shape, e.weights, e.delta])]


def measure(context: Context, e: Measure) -> Operations | None:
    """Write each example's loss and hit into the pass."""
    loss = source.place_of_loss(e.cost, e.f)
    if loss is None:
        return None
    of_label = e.one_hot and e.cost.of_targets and e.f.by_column
    numbers = float(e.cost.threshold), source.parameter_of(e.cost)
    fields = [*e.y.shape, e.a.plain, e.y, e.z, e.labels, loss, of_label, *numbers]
    return [Operation(Code.MEASURE, [*fields, e.p.losses, e.p.hits])]


def weigh_losses(context: Context, e: WeighLosses) -> Operations:
    """Multiply each example's loss in the pass by its weight."""
    return [Operation(Code.WEIGH_LOSSES, [e.weights.shape[1], e.weights, e.p.losses])]


def collect(context: Context, e: CollectOutputs) -> Operations | None:
    """Copy the outputs into the columns of `into` that the pass has come to."""
    a, into = e.a.plain, e.into
    if not into.flags.f_contiguous or into.dtype != a.dtype:
        return None
    return [Operation(Code.COLLECT, [*a.shape, a, into])]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    OutputError: output_error,
    ApplyWeights: apply_weights,
    Measure: measure,
    WeighLosses: weigh_losses,
    CollectOutputs: collect,
}
