"""Fuse neighbouring equations, so that a graph has fewer kernels and re-reads less memory.

Equations come one by one, as in the book, and know nothing of each other. Before they are lowered, the
functions here replace those that one kernel can do together by a fused record. Everything that they do not
recognise they leave alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpunn.backends.cuda.device import Buffer
from gpunn.core.equations import Equation, Forward, HiddenError, OutputError
from gpunn.functions.activations.outputs import SOFTMAX
from gpunn.functions.activations.rectifiers import RELU


@dataclass(eq=False, slots=True)
class ForwardError(Equation):
    """Forward, BP1: a[L] = f(w[L] a[L-1] + b[L]), δ[L] = ∇C ⊙ f′(z[L])"""

    forward: Forward
    error: OutputError


@dataclass
class Bits:
    """Bits that say whether z was above 0, for products that apply f′.

    Attributes:
        chosen: it was chosen whether products or a kernel apply f′, which happens on lowering.
        buffer: a bit for each element; None for a kernel.
    """

    chosen: bool = False
    buffer: Buffer | None = None


@dataclass(eq=False, slots=True)
class ForwardWithBits(Equation):
    """Forward: a[l] = max(0, w[l] a[l-1] + b[l]), and where it is above 0

    error: the BP2 that reads the bits.
    """

    forward: Forward
    error: HiddenError
    bits: Bits


@dataclass(eq=False, slots=True)
class HiddenErrorByBits(Equation):
    """BP2 in one product: δ[l-1] = (w[l]ᵀ δ[l]) ⊙ f′(z[l-1]), with f′ = 1 if the bit is set, else 0"""

    error: HiddenError
    bits: Bits


def fuse(equations: Sequence[Equation]) -> list[Equation]:
    """Return equations that do the same in fewer launches."""
    done: list[Equation] = []
    bits: defaultdict[int, Bits] = defaultdict(Bits)  # by the a, which mini-batches of the same size share
    for equation in equations:
        if isinstance(equation, OutputError):
            fuse_error_with_forward(done, equation)
        elif isinstance(equation, HiddenError):
            fuse_derivative_with_products(done, equation, bits)
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


def fuse_derivative_with_products(done: list[Equation], error: HiddenError, bits: Mapping[int, Bits]) -> None:
    """Let the product that makes a rectified a[l-1] note where it is above 0, and BP2's product apply it."""
    makers = reversed(range(len(done))) if error.f is RELU and error.mask is None else []
    for at in makers:
        forward = done[at]
        if isinstance(forward, Forward) and forward.out is error.a:
            own = bits[id(error.a)]
            done[at] = ForwardWithBits(forward, error, own)
            done.append(HiddenErrorByBits(error, own))
            return
    done.append(error)
