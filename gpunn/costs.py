"""The costs C and their gradients, each averaged over the examples by whoever uses them.

As in activations.py, the NumPy spelling returns bound calls and the CUDA spelling stands beside it.
A cost is a sum over the outputs of `loss`, elementwise in an output a and its target y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from gpunn.activations import Array, Calls, constant, filled
from gpunn.names import look_up

Spelling: TypeAlias = Callable[[Array, Array, Array], Calls]


@dataclass(frozen=True)
class Cost:
    """One cost, elementwise.

    loss(a, y, out): calls that write each output's share of the cost, all (n, m).
    gradient(a, y, out): calls that write ∂C/∂a.
    cuda: (loss, gradient) as C expressions in a and y.
    pairs_with: the activation for which f′ ⊙ ∂C/∂a is just a − y.
    loss_of_z(z, y, out), cuda_of_z: the loss written in z for that activation, where it is safer so.
    in_unit_interval: only defined for outputs in (0, 1); beyond them it is taken to be level.
    """

    name: str
    loss: Spelling
    gradient: Spelling
    cuda: tuple[str, str] | None
    pairs_with: str | None = None
    loss_of_z: Spelling | None = None
    cuda_of_z: str | None = None
    in_unit_interval: bool = False

    @classmethod
    def from_functions(
        cls,
        loss: Callable[[Array, Array], Array],
        gradient: Callable[[Array, Array], Array],
        name: str = "custom",
        cuda: tuple[str, str] | None = None,
    ) -> Cost:
        """A cost of your own from two NumPy functions of (a, y), both elementwise: loss and ∂loss/∂a.

        cuda: the same two as C expressions in `a` and `y`, if it is to run on a GPU.
        """
        return cls(
            name,
            loss=lambda a, y, out: [lambda: np.copyto(out, loss(a, y))],
            gradient=lambda a, y, out: [lambda: np.copyto(out, gradient(a, y))],
            cuda=cuda,
        )

    def reads_z(self, activation: str) -> bool:
        """Whether the loss after this activation is computed from z."""
        return self.loss_of_z is not None and self.pairs_with == activation

    def loss_calls(self, activation: str, a: Array, y: Array, z: Array, out: Array) -> Calls:
        """The loss after this activation, in the form that suits it."""
        if self.loss_of_z is not None and self.reads_z(activation):
            return self.loss_of_z(z, y, out)
        return self.loss(a, y, out)


def _quadratic(a: Array, y: Array, out: Array) -> Calls:
    """½ (y − a)²."""
    return [
        partial(np.subtract, a, y, out),
        partial(np.multiply, out, out, out),
        partial(np.multiply, out, constant(a, 0.5), out),
    ]


def _quadratic_gradient(a: Array, y: Array, out: Array) -> Calls:
    return [partial(np.subtract, a, y, out)]


def _above_zero(a: Array, out: Array) -> Calls:
    """out ← a, but at least the type's smallest normal number, so that ln a is finite."""
    return [partial(np.maximum, a, filled(a.shape, a.dtype, float(np.finfo(a.dtype).tiny)), out=out)]


def _inside(a: Array, out: Array) -> Calls:
    """The same, and below 1, so that ln(1 − a) is finite too."""
    most = float(1 - np.finfo(a.dtype).epsneg)
    return [*_above_zero(a, out), partial(np.minimum, out, filled(a.shape, a.dtype, most), out=out)]


def _zero_outside(a: Array, inside: Array, out: Array) -> Calls:
    """out ← 0 where a had to be kept inside: the cost is level there."""
    outside = np.empty(a.shape, bool, order="F")
    return [partial(np.not_equal, inside, a, outside), partial(np.copyto, out, 0, where=outside)]


def _cross_entropy(a: Array, y: Array, out: Array) -> Calls:
    """−y ln a."""
    return [
        *_above_zero(a, out),
        partial(np.log, out, out),
        partial(np.multiply, out, y, out),
        partial(np.negative, out, out),
    ]


def _cross_entropy_gradient(a: Array, y: Array, out: Array) -> Calls:
    """−y / a."""
    inside = np.empty_like(a)
    return [
        *_above_zero(a, inside),
        partial(np.divide, y, inside, out),
        partial(np.negative, out, out),
        *_zero_outside(a, inside, out),
    ]


def _binary_cross_entropy(a: Array, y: Array, out: Array) -> Calls:
    """−y ln a − (1 − y) ln(1 − a) = (y − 1) ln(1 − a) − y ln a."""
    rest, weight = np.empty_like(a), np.empty_like(a)
    return [
        *_inside(a, out),
        partial(np.negative, out, rest),
        partial(np.log1p, rest, rest),
        partial(np.subtract, y, constant(a, 1), weight),
        partial(np.multiply, rest, weight, rest),
        partial(np.log, out, out),
        partial(np.multiply, out, y, out),
        partial(np.subtract, rest, out, out),
    ]


def _binary_cross_entropy_gradient(a: Array, y: Array, out: Array) -> Calls:
    """(a − y) / (a (1 − a))."""
    inside, error = np.empty_like(a), np.empty_like(a)
    return [
        *_inside(a, inside),
        partial(np.subtract, inside, y, error),
        partial(np.subtract, constant(a, 1), inside, out),
        partial(np.multiply, out, inside, out),
        partial(np.divide, error, out, out),
        *_zero_outside(a, inside, out),
    ]


def _binary_cross_entropy_of_z(z: Array, y: Array, out: Array) -> Calls:
    """max(z, 0) − z y + ln(1 + e^−|z|), which no z overflows."""
    rest = np.empty_like(z)
    return [
        partial(np.abs, z, out),
        partial(np.negative, out, out),
        partial(np.exp, out, out),
        partial(np.log1p, out, out),
        partial(np.maximum, z, constant(z, 0), out=rest),
        partial(np.add, out, rest, out),
        partial(np.multiply, z, y, rest),
        partial(np.subtract, out, rest, out),
    ]


_ALL = [
    Cost("quadratic", _quadratic, _quadratic_gradient, cuda=("(a - y) * (a - y) / 2", "a - y")),
    Cost(
        "cross-entropy",
        _cross_entropy,
        _cross_entropy_gradient,
        cuda=("-y * log(a > TINY ? a : TINY)", "a > TINY ? -y / a : T(0)"),
        pairs_with="softmax",
        in_unit_interval=True,
    ),
    Cost(
        "binary-cross-entropy",
        _binary_cross_entropy,
        _binary_cross_entropy_gradient,
        cuda=(
            "(y - 1) * log1p(-inside(a)) - y * log(inside(a))",
            "inside(a) == a ? (a - y) / (a * (1 - a)) : T(0)",
        ),
        pairs_with="sigmoid",
        in_unit_interval=True,
        loss_of_z=_binary_cross_entropy_of_z,
        cuda_of_z="(z > 0 ? z : T(0)) - z * y + log1p(exp(-fabs(z)))",
    ),
]
COSTS = {cost.name: cost for cost in _ALL}


def get(cost: str | Cost) -> Cost:
    """A cost by name, or as it is."""
    return cost if isinstance(cost, Cost) else look_up(COSTS, cost.replace("_", "-"), "cost")


def usual_for(activation: str) -> str:
    """The cost that an output layer of this activation is usually trained with."""
    return next((cost.name for cost in _ALL if cost.pairs_with == activation), "quadratic")
