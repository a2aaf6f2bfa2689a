"""The costs C and their gradients, each averaged over the examples by whoever uses them.

As in activations.py, the NumPy spelling returns bound calls and the CUDA spelling stands beside it.
A cost is a sum over the outputs: each has a share of it, which most costs compute from that output a and
its target y alone, and hinge from the whole column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from gpunn.functions.activations import ACTIVATIONS, Activation
from gpunn.functions.calls import Array, Calls, constant, filled, like
from gpunn.names import look_up

Spelling: TypeAlias = Callable[[Array, Array, Array], Calls]


@dataclass(frozen=True)
class Cost:
    """One cost, elementwise (hinge: by column). Your own: `Cost.from_functions`.

    Attributes:
        name: what it is called, and saved as.
        loss: loss(a, y, out) returns the calls that write each output's share of the cost, all (n, m).
        gradient: gradient(a, y, out), likewise, ∂C/∂a.
        cuda: (loss, gradient) as C expressions in a and y; None where there is no elementwise spelling.
        pairs_with: the activation for which f′ ⊙ ∂C/∂a is just a − y.
        loss_of_z: loss_of_z(z, y, out), the loss written in z for that activation, where it is safer so.
        cuda_of_z: the same as a C expression.
        cuda_columns: both as kernels of kernels.cu, a warp a column, for a cost that couples outputs.
        domain: the open interval of outputs that it is defined for, beyond which it is taken to be level;
            targets may be at its ends too.
        of_labels: it is only defined for class labels.
        threshold: a single output above it means class 1.
    """

    name: str
    loss: Spelling
    gradient: Spelling
    cuda: tuple[str, str] | None
    pairs_with: str | None = None
    loss_of_z: Spelling | None = None
    cuda_of_z: str | None = None
    cuda_columns: tuple[str, str] | None = None
    domain: tuple[float, float] = (-math.inf, math.inf)
    of_labels: bool = False
    threshold: float = 0.5

    @classmethod
    def from_functions(
        cls,
        loss: Callable[[Array, Array], Array],
        gradient: Callable[[Array, Array], Array],
        name: str = "custom",
        cuda: tuple[str, str] | None = None,
    ) -> Cost:
        """A cost of your own from two NumPy functions of (a, y), both elementwise: loss and ∂loss/∂a.

        Args:
            loss: each output's share of the cost, of a and y (n, m).
            gradient: its derivative by a, likewise.
            name: for error messages; a network with a function of your own cannot be saved.
            cuda: the same two as C expressions in `a` and `y`, if it is to run on a GPU.

        >>> log_cosh = gpunn.Cost.from_functions(
        ...     lambda a, y: np.log(np.cosh(a - y)), lambda a, y: np.tanh(a - y)
        ... )
        >>> net = gpunn.Network(4, [gpunn.Dense(3), gpunn.Dense(1, "identity")], cost=log_cosh, seed=0)
        >>> gpunn.check_gradients(net, np.eye(4), [0.5, 1.5, -2.0, 0.0]) < 1e-6
        True
        """
        return cls(name, partial(_by, loss, "the loss"), partial(_by, gradient, "the gradient"), cuda=cuda)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled by name, where it has one of ours."""
        return (get, (self.name,)) if has_name(self) else super().__reduce_ex__(protocol)

    def defined_after(self, f: Activation) -> bool:
        """Whether all values of this activation are in the domain."""
        return self.domain[0] <= f.values[0] and f.values[1] <= self.domain[1]

    def doubts_about(self, f: Activation) -> str:
        """What to warn of where this activation's values leave the domain; empty where they do not."""
        if self.defined_after(f):
            return ""
        low, high = self.domain
        outputs = f"above {low:g}" if high == math.inf else f"in ({low:g}, {high:g})"
        better = " or ".join(other.name for other in ACTIVATIONS.values() if self.defined_after(other))
        return (
            f"{self.name} is defined for outputs {outputs}, and {f.name} leaves them: "
            f"nothing is learnt from an output beyond; use {better}"
        )

    def reads_z(self, activation: str) -> bool:
        """Whether the loss after this activation is computed from z."""
        return self.loss_of_z is not None and self.pairs_with == activation

    def loss_calls(self, activation: str, a: Array, y: Array, z: Array, out: Array) -> Calls:
        """The loss after this activation, in the form that suits it."""
        if self.loss_of_z is not None and self.reads_z(activation):
            return self.loss_of_z(z, y, out)
        return self.loss(a, y, out)


def _by(function: Callable[[Array, Array], Array], what: str, a: Array, y: Array, out: Array) -> Calls:
    """By a function of the user's."""
    return [lambda: np.copyto(out, like(a, function(a, y), what))]


def _quadratic(a: Array, y: Array, out: Array) -> Calls:
    """½ (y − a)²."""
    return [
        partial(np.subtract, a, y, out),
        partial(np.multiply, out, out, out),
        partial(np.multiply, out, constant(a, 0.5), out),
    ]


def _quadratic_gradient(a: Array, y: Array, out: Array) -> Calls:
    return [partial(np.subtract, a, y, out)]


def _absolute(a: Array, y: Array, out: Array) -> Calls:
    """|a − y|."""
    return [partial(np.subtract, a, y, out), partial(np.abs, out, out)]


def _absolute_gradient(a: Array, y: Array, out: Array) -> Calls:
    """sign(a − y), 0 on the kink."""
    return [partial(np.subtract, a, y, out), partial(np.sign, out, out)]


@lru_cache(maxsize=64)
def huber(delta: float = 1.0) -> Cost:
    """½ e² where |e| = |a − y| ≤ δ, else δ (|e| − ½ δ): Huber 1964. ValueError unless δ is above 0.

    Written c (e − ½ c), with c = min(max(e, −δ), δ), which is also the gradient.
    """
    if not 0 < delta < math.inf:
        raise ValueError(f"huber's delta must be above 0 and finite, not {delta!r}")

    def gradient(a: Array, y: Array, out: Array) -> Calls:
        least, most = constant(a, -delta), constant(a, delta)
        return [partial(np.subtract, a, y, out), partial(np.clip, out, least, most, out)]

    def loss(a: Array, y: Array, out: Array) -> Calls:
        clipped = np.empty_like(a)
        return [
            *gradient(a, y, clipped),
            partial(np.multiply, clipped, constant(a, -0.5), out),
            partial(np.add, out, a, out),
            partial(np.subtract, out, y, out),
            partial(np.multiply, out, clipped, out),
        ]

    e, d = "(a - y)", f"T({float(delta)!r})"
    cuda = (
        f"fabs{e} <= {d} ? {e} * {e} / 2 : {d} * (fabs{e} - {d} / 2)",
        f"{e} < -{d} ? -{d} : {e} > {d} ? {d} : {e}",
    )
    return Cost(_name("huber", delta, usual=1.0), loss, gradient, cuda)


@lru_cache(maxsize=64)
def quantile(tau: float = 0.5) -> Cost:
    """τ (y − a) where y > a, else (1 − τ)(a − y): Koenker and Bassett 1978. ValueError unless 0 < τ < 1.

    Written ½ |a − y| + (½ − τ)(a − y); its minimum is the τ-quantile of y, at τ = ½ the median.
    """
    if not 0 < tau < 1:
        raise ValueError(f"quantile's tau must be between 0 and 1, not {tau!r}")
    lean = float(0.5 - tau)

    def loss(a: Array, y: Array, out: Array) -> Calls:
        error = np.empty_like(a)
        return [
            *_absolute(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.subtract, a, y, error),
            partial(np.multiply, error, constant(a, lean), error),
            partial(np.add, out, error, out),
        ]

    def gradient(a: Array, y: Array, out: Array) -> Calls:
        return [
            *_absolute_gradient(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.add, out, constant(a, lean), out),
        ]

    cuda = (
        f"fabs(a - y) / 2 + T({lean!r}) * (a - y)",
        f"(T(a > y) - T(a < y)) / 2 + T({lean!r})",
    )
    return Cost(_name("quantile", tau, usual=0.5), loss, gradient, cuda)


def _name(family: str, parameter: float, usual: float) -> str:
    """What `get` finds the same cost by."""
    return family if parameter == usual else f"{family}({float(parameter)!r})"


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


def _poisson(a: Array, y: Array, out: Array) -> Calls:
    """a − y ln a: minus the logarithm of Poisson's e⁻ᵃ aʸ / y!, but for what does not depend on a."""
    inside = np.empty_like(a)
    return [
        *_above_zero(a, inside),
        partial(np.log, inside, out),
        partial(np.multiply, out, y, out),
        partial(np.subtract, inside, out, out),
    ]


def _poisson_gradient(a: Array, y: Array, out: Array) -> Calls:
    """1 − y / a."""
    inside = np.empty_like(a)
    return [
        *_above_zero(a, inside),
        partial(np.divide, y, inside, out),
        partial(np.subtract, constant(a, 1), out, out),
        *_zero_outside(a, inside, out),
    ]


def _margins(a: Array, y: Array, out: Array) -> Calls:
    """aⱼ − a_y + 1 for every other class j, and 0 for the class y itself; y one-hot.

    A single output means class 1 above 0: 1 − y± a with y± = 2y − 1.
    """
    one = constant(a, 1)
    if len(a) == 1:
        return [*_sign(y, out), partial(np.multiply, out, a, out), partial(np.subtract, one, out, out)]
    row = np.empty((1, a.shape[1]), a.dtype)
    return [
        partial(np.multiply, a, y, out),
        partial(np.add.reduce, out, 0, None, row, True),
        partial(np.copyto, out, row),
        partial(np.subtract, a, out, out),
        partial(np.add, out, one, out),
        partial(np.subtract, out, y, out),
    ]


def _sign(y: Array, out: Array) -> Calls:
    """y± = 2y − 1."""
    return [partial(np.multiply, y, constant(y, 2), out), partial(np.subtract, out, constant(y, 1), out)]


def _hinge(a: Array, y: Array, out: Array) -> Calls:
    """max(0, margin): Weston and Watkins 1999, as in Stanford's CS231n; a sum over the other classes."""
    return [*_margins(a, y, out), partial(np.maximum, out, constant(a, 0), out=out)]


def _hinge_gradient(a: Array, y: Array, out: Array) -> Calls:
    """1 where a margin is above 0, and for the class y minus how many there are."""
    s, row = np.empty_like(a), np.empty((1, a.shape[1]), a.dtype)
    violated: Calls = [*_margins(a, y, out), partial(np.heaviside, out, constant(a, 0), out)]
    if len(a) == 1:
        return [*violated, *_sign(y, s), partial(np.multiply, out, s, out), partial(np.negative, out, out)]
    return [
        *violated,
        partial(np.add.reduce, out, 0, None, row, True),
        partial(np.copyto, s, row),
        partial(np.multiply, s, y, s),
        partial(np.subtract, out, s, out),
    ]


_ALL = [
    Cost("quadratic", _quadratic, _quadratic_gradient, cuda=("(a - y) * (a - y) / 2", "a - y")),
    Cost("mae", _absolute, _absolute_gradient, cuda=("fabs(a - y)", "T(a > y) - T(a < y)")),
    huber(),
    quantile(),
    Cost(
        "poisson",
        _poisson,
        _poisson_gradient,
        cuda=("above_zero(a) - y * log(above_zero(a))", "a > TINY ? 1 - y / a : T(0)"),
        pairs_with="exp",
        domain=(0, math.inf),
    ),
    Cost(
        "cross-entropy",
        _cross_entropy,
        _cross_entropy_gradient,
        cuda=("-y * log(above_zero(a))", "a > TINY ? -y / a : T(0)"),
        pairs_with="softmax",
        domain=(0, 1),
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
        domain=(0, 1),
        loss_of_z=_binary_cross_entropy_of_z,
        cuda_of_z="(z > 0 ? z : T(0)) - z * y + log1p(exp(-fabs(z)))",
    ),
    Cost(
        "hinge",
        _hinge,
        _hinge_gradient,
        cuda=None,
        cuda_columns=("measure_hinge", "hinge_gradient"),
        of_labels=True,
        threshold=0,
    ),
]
COSTS = {cost.name: cost for cost in _ALL}
FAMILIES: dict[str, Callable[[float], Cost]] = {"huber": huber, "quantile": quantile}


def get(cost: str | Cost) -> Cost:
    """A cost by name, such as "huber" or "huber(2.0)", or as it is."""
    if isinstance(cost, Cost):
        return cost
    if not isinstance(cost, str):
        raise ValueError(f"a cost must be a name or a Cost, not {cost!r}")
    if not (parts := re.fullmatch(r"(.+)\((.*)\)", cost)):
        return look_up(COSTS, cost.replace("_", "-"), "cost")
    family = look_up(FAMILIES, parts[1], "cost with a parameter")
    try:
        parameter = float(parts[2])
    except ValueError:
        raise ValueError(f"{parts[1]}'s parameter must be a number, not '{parts[2]}'") from None
    return family(parameter)


def has_name(cost: Cost) -> bool:
    """Whether `get` finds this very cost by its name, so that a file can hold it."""
    try:
        return get(cost.name) == cost
    except ValueError:
        return False


def usual_for(activation: str) -> str:
    """The cost that an output layer of this activation is usually trained with."""
    return next((cost.name for cost in _ALL if cost.pairs_with == activation), "quadratic")
