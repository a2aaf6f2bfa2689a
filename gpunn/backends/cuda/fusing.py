"""Fuse neighbouring equations, so that a graph has fewer kernels and re-reads less memory.

Equations come one by one, as in the book, and know nothing of each other. Before they are lowered, the
functions here replace those that one kernel can do together by a fused record. Everything that they do not
recognise they leave alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpunn.core.equations import Equation, Forward, Gradient, HiddenError, OutputError
from gpunn.core.parameters import Parameters, Part
from gpunn.core.vector_equations import Add, Scale
from gpunn.functions.activations import SOFTMAX


@dataclass(eq=False, slots=True)
class ForwardError(Equation):
    """Forward, BP1: a[L] = f(w[L] a[L-1] + b[L]), δ[L] = ∇C ⊙ f′(z[L])"""

    forward: Forward
    error: OutputError


@dataclass(eq=False, slots=True)
class WithBiasGradient(Equation):
    """BP3 in the kernel that makes δ: b[l] ← α Σ δ[l] + β b[l]"""

    maker: ForwardError | OutputError | HiddenError
    gradient: Gradient


@dataclass(eq=False, slots=True)
class WeightGradient(Equation):
    """BP4: w[l] ← α δ[l] a[l-1]ᵀ + β w[l]"""

    gradient: Gradient


def fuse(equations: Sequence[Equation]) -> list[Equation]:
    """Return equations that do the same in fewer launches."""
    done: list[Equation] = []
    for equation in equations:
        if isinstance(equation, OutputError):
            fuse_error_with_forward(done, equation)
        elif isinstance(equation, Gradient):
            fuse_bias_with_delta(done, equation)
        else:
            done.append(equation)
    return done


def fuse_error_with_forward(done: list[Equation], error: OutputError) -> None:
    """Fuse BP1 into the last layer's forward equation, if that was the equation before."""
    forward = done[-1] if done else None
    f, cost = error.f, error.cost
    elementwise = f.cuda is not None and cost.cuda is not None
    softmax_pair = f is SOFTMAX and cost.pairs(f)
    if (
        isinstance(forward, Forward)
        and forward.z is error.z
        and forward.out is error.a
        and (elementwise or softmax_pair)
    ):
        done[-1] = ForwardError(forward, error)
    else:
        done.append(error)


def fuse_bias_with_delta(done: list[Equation], gradient: Gradient) -> None:
    """Fuse BP3 into the kernel that makes δ, if nothing in between touches δ or the bias."""
    for at in reversed(range(len(done))):
        maker = done[at]
        if isinstance(maker, ForwardError | OutputError | HiddenError) and makes(maker, gradient):
            done[at] = WithBiasGradient(maker, gradient)
            done.append(WeightGradient(gradient))
            return
        if not leaves_alone(maker, gradient):
            break
    done.append(gradient)


def makes(maker: ForwardError | OutputError | HiddenError, gradient: Gradient) -> bool:
    """Whether this makes δ of the gradient, and row by row, as summing over the examples needs it."""
    error = maker.error if isinstance(maker, ForwardError) else maker
    return error.out is gradient.delta and error.f.cuda is not None


def leaves_alone(equation: Equation, gradient: Gradient) -> bool:
    """Whether the equation has nothing to do with the bias in which BP3 lands, and does not change δ."""
    if isinstance(equation, HiddenError):
        return equation.out is not gradient.delta
    if isinstance(equation, Scale):
        return not holds_bias(equation.x, gradient.into, gradient.layer)
    if isinstance(equation, Add):
        return not any(holds_bias(x, gradient.into, gradient.layer) for x in (equation.x, equation.into))
    if isinstance(equation, Gradient):
        return equation.layer != gradient.layer
    return isinstance(equation, WeightGradient)


def holds_bias(part: Part, parameters: Parameters, layer: int) -> bool:
    """Whether b[layer] of these parameters lies in the part."""
    return part.of is parameters and part.kind in ("wb", "all") and part.layer in (0, layer)
