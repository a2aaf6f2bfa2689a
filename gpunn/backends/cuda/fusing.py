"""Fuse neighbouring equations, so that a graph has fewer kernels and re-reads less memory.

Equations come one by one, as in the book, and know nothing of each other. Before they are lowered, the
functions here replace those that one kernel can do together by a fused record. Everything that they do not
recognise they leave alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpunn.core.equations import Equation, Forward, OutputError
from gpunn.functions.activations import SOFTMAX


@dataclass(eq=False, slots=True)
class ForwardError(Equation):
    """Forward, BP1: a[L] = f(w[L] a[L-1] + b[L]), δ[L] = ∇C ⊙ f′(z[L])"""

    forward: Forward
    error: OutputError


def fuse(equations: Sequence[Equation]) -> list[Equation]:
    """Return equations that do the same in fewer launches."""
    done: list[Equation] = []
    for equation in equations:
        if isinstance(equation, OutputError):
            fuse_error_with_forward(done, equation)
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
