"""Operations of the outputs: their error, their losses and their hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backends.host.compiled import source
from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.core.equations import ApplyWeights, Equation, OutputError
from gpunn.core.pass_equations import Measure


def output_error(context: Context, e: OutputError) -> Operations | None:
    """BP1: δ = ∇C ⊙ f′(z)."""
    gradient, f = source.place_of_gradient(e.cost, e.f), source.place_of_activation(e.f)
    paired = gradient == source.PAIRED_PLACE
    if gradient is None or (not paired and (f is None or e.f.by_column)):
        return None
    return [
        Operation(Code.OUTPUT_ERROR, [*e.y.shape, e.a.plain, e.y, e.z, e.out, gradient, 0 if paired else f])
    ]


def apply_weights(context: Context, e: ApplyWeights) -> Operations:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    return [Operation(Code.APPLY_WEIGHTS, [*e.delta.shape, e.weights, e.delta])]


def measure(context: Context, e: Measure) -> Operations | None:
    """Write each example's loss and hit into the pass."""
    loss = source.place_of_loss(e.cost, e.f)
    if loss is None:
        return None
    of_label = e.one_hot and e.cost.of_targets and e.f.by_column
    fields = [*e.y.shape, e.a.plain, e.y, e.z, e.labels, loss, of_label, float(e.cost.threshold)]
    return [Operation(Code.MEASURE, [*fields, e.p.losses, e.p.hits])]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    OutputError: output_error,
    ApplyWeights: apply_weights,
    Measure: measure,
}
