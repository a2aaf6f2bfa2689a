"""Costs: C and its gradient, each with all its spellings in one entry.

As in activations.py, the NumPy spelling returns bound calls and the CUDA spelling stands beside it. A cost is
a sum over the outputs of one example. Most costs compute each output's share from that output a and its
target y alone; hinge needs the whole column, and quantiles the place in it. Whoever calls a cost averages it
over the examples.

To add a cost, write its entry here, list it in `COSTS`, add its formula to `gpunn/reference.py`, and update
the JSON schema (`PYTHONPATH=. python tests/support/schema_names.py`). Everything else follows from the entry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from gpunn.functions.activations import ACTIVATIONS, Activation
from gpunn.functions.calls import Array, Calls, check_shape, constant, filled
from gpunn.names import OtherNames, look_up

Spelling: TypeAlias = Callable[[Array, Array, Array], Calls]


@dataclass(frozen=True)
class Cost:
    """One cost, elementwise (hinge: by column). Your own: `Cost.from_functions`.

    Attributes:
        name: its name in code, on the command line and in model files.
        loss: loss(a, y, out) returns the calls that write each output's share of the cost, all (n, m).
        gradient: gradient(a, y, out) returns the calls that write ∂C/∂a, all (n, m).
        cuda: (loss, gradient) as C expressions in a and y; None if there is no elementwise CUDA spelling.
        pairs_with: the activation for which f′ ⊙ ∂C/∂a is just a − y.
        loss_of_z: loss_of_z(z, y, out) writes the loss in terms of that activation's z, if that is safer.
        cuda_of_z: the same loss as a C expression in z and y.
        cuda_columns: (loss, gradient) as kernels of kernels.cu, one warp per column, for a cost that couples
            outputs or tells them apart.
        cuda_parameters: further arguments of these kernels.
        domain: the open interval of outputs for which it is defined; it counts as level outside. Targets may
            also be at the ends.
        of_labels: it is only defined for class labels.
        of_targets: an output whose target is 0 costs nothing.
        threshold: a single output above it means class 1.
        latex: C as LaTeX, for one example.
        source: the paper or chapter that introduced it.
    """

    name: str
    loss: Spelling
    gradient: Spelling
    cuda: tuple[str, str] | None
    pairs_with: str | None = None
    loss_of_z: Spelling | None = None
    cuda_of_z: str | None = None
    cuda_columns: tuple[str, str] | None = None
    cuda_parameters: tuple[float, ...] = ()
    domain: tuple[float, float] = (-math.inf, math.inf)
    of_labels: bool = False
    of_targets: bool = False
    threshold: float = 0.5
    latex: str | None = None
    source: str = ""

    @classmethod
    def from_functions(
        cls,
        loss: Callable[[Array, Array], Array],
        gradient: Callable[[Array, Array], Array],
        name: str = "custom",
        cuda: tuple[str, str] | None = None,
    ) -> Cost:
        """Make a cost from two elementwise NumPy functions of (a, y): the loss and ∂loss/∂a.

        Args:
            loss: maps a and y (n, m) to each output's share of the cost (n, m).
            gradient: maps a and y (n, m) to the derivative of the loss by a (n, m).
            name: for error messages; a network with a function of your own cannot be saved.
            cuda: loss and gradient in `a` and `y`, as C expressions; required on a GPU.

        >>> squared_log = gpunn.Cost.from_functions(
        ...     lambda a, y: np.log(a / y) ** 2, lambda a, y: 2 * np.log(a / y) / a
        ... )
        >>> net = gpunn.Network(4, [gpunn.Dense(3), gpunn.Dense(1, "exp")], cost=squared_log, seed=0)
        >>> gpunn.check_gradients(net, np.eye(4), [0.5, 1.5, 2.0, 1.0]) < 1e-6
        True
        """
        return cls(name, partial(_apply, loss, "the loss"), partial(_apply, gradient, "the gradient"), cuda)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a built-in cost by its name."""
        return (get, (self.name,)) if has_name(self) else super().__reduce_ex__(protocol)

    def defined_after(self, f: Activation) -> bool:
        """Whether all values of this activation lie in the domain."""
        return self.domain[0] <= f.values[0] and f.values[1] <= self.domain[1]

    def doubts_about(self, f: Activation) -> str:
        """The warning if this activation's values can leave the domain, else an empty string."""
        if self.defined_after(f):
            return ""
        low, high = self.domain
        outputs = f"above {low:g}" if high == math.inf else f"in ({low:g}, {high:g})"
        better = " or ".join(other.name for other in ACTIVATIONS.values() if self.defined_after(other))
        return (
            f"{self.name} is defined for outputs {outputs}, but {f.name} can leave that interval, "
            f"and nothing is learnt from an output outside it: use {better}"
        )

    def pairs(self, f: Activation) -> bool:
        """Whether f′ ⊙ ∂C/∂a after this activation is just a − y."""
        return self.pairs_with == f.name and not f.is_own

    @property
    def needs_distributions(self) -> bool:
        """Whether f′ ⊙ ∂C/∂a is a − y only if the targets of each example sum to 1, as after softmax."""
        return self.pairs_with is not None and ACTIVATIONS[self.pairs_with].by_column

    def unpaired(self) -> Cost:
        """This cost without the a − y shortcut, for targets that do not sum to 1."""
        return replace(self, pairs_with=None)

    def reads_z(self, f: Activation) -> bool:
        """Whether the loss after this activation is computed from z."""
        return self.loss_of_z is not None and self.pairs(f)

    def loss_calls(self, f: Activation, a: Array, y: Array, z: Array, out: Array) -> Calls:
        """The calls that write the loss after this activation, from z if that is safer."""
        if self.loss_of_z is not None and self.reads_z(f):
            return self.loss_of_z(z, y, out)
        return self.loss(a, y, out)


def _apply(function: Callable[[Array, Array], Array], what: str, a: Array, y: Array, out: Array) -> Calls:
    """out ← function(a, y), for a function of the user's."""
    return [lambda: np.copyto(out, check_shape(function(a, y), a, what))]


def _quadratic(a: Array, y: Array, out: Array) -> Calls:
    """½ (y − a)²."""
    return [
        partial(np.subtract, a, y, out),
        partial(np.multiply, out, out, out),
        partial(np.multiply, out, constant(a, 0.5), out),
    ]


def _quadratic_gradient(a: Array, y: Array, out: Array) -> Calls:
    return [partial(np.subtract, a, y, out)]


QUADRATIC = Cost(
    "quadratic",
    _quadratic,
    _quadratic_gradient,
    cuda=("(a - y) * (a - y) / 2", "a - y"),
    latex=r"\frac{1}{2} \sum (y - a)^2",
    source="Nielsen, chapter 1",
)


def _absolute(a: Array, y: Array, out: Array) -> Calls:
    """|a − y|."""
    return [partial(np.subtract, a, y, out), partial(np.abs, out, out)]


def _absolute_gradient(a: Array, y: Array, out: Array) -> Calls:
    """sign(a − y), 0 on the kink."""
    return [partial(np.subtract, a, y, out), partial(np.sign, out, out)]


MAE = Cost(
    "mae",
    _absolute,
    _absolute_gradient,
    cuda=("fabs(a - y)", "T(a > y) - T(a < y)"),
    latex=r"\sum \lvert a - y \rvert",
)


@lru_cache(maxsize=64)
def huber(delta: float = 1.0) -> Cost:
    """½ e² if |e| = |a − y| ≤ δ, else δ (|e| − ½ δ): Huber 1964. Raises ValueError unless δ > 0.

    Written as c (e − ½ c), with c = min(max(e, −δ), δ), which is also the gradient.
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
    return Cost(
        _name("huber", delta, usual=1.0),
        loss,
        gradient,
        cuda,
        latex=r"\sum \begin{cases} \frac{1}{2} e^2 & e = \lvert a - y \rvert \le \delta \\ "
        r"\delta (e - \frac{1}{2} \delta) & \text{else} \end{cases}",
        source="Huber 1964",
    )


def _log_cosh(a: Array, y: Array, out: Array) -> Calls:
    """ln cosh e = |e| + ln(1 + (e^−2|e| − 1) / 2) with e = a − y, which does not overflow for any e."""
    rest = np.empty_like(a)
    return [
        *_absolute(a, y, out),
        partial(np.multiply, out, constant(a, -2), rest),
        partial(np.expm1, rest, rest),
        partial(np.multiply, rest, constant(a, 0.5), rest),
        partial(np.log1p, rest, rest),
        partial(np.add, out, rest, out),
    ]


def _log_cosh_gradient(a: Array, y: Array, out: Array) -> Calls:
    """tanh(a − y)."""
    return [partial(np.subtract, a, y, out), partial(np.tanh, out, out)]


LOG_COSH = Cost(
    "log-cosh",
    _log_cosh,
    _log_cosh_gradient,
    cuda=("fabs(a - y) + log1p(expm1(-2 * fabs(a - y)) / 2)", "tanh(a - y)"),
    latex=r"\sum \ln \cosh (a - y)",
    source="Saleh and Saleh 2022",
)


@lru_cache(maxsize=64)
def quantile(tau: float = 0.5) -> Cost:
    """τ (y − a) if y > a, else (1 − τ)(a − y): Koenker and Bassett 1978. Raises ValueError unless 0 < τ < 1.

    Written as ½ |a − y| + (½ − τ)(a − y). The τ-quantile of y minimises it; τ = ½ is the median.
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
    return Cost(
        _name("quantile", tau, usual=0.5),
        loss,
        gradient,
        cuda,
        latex=r"\sum \begin{cases} \tau (y - a) & y > a \\ (1 - \tau) (a - y) & \text{else} \end{cases}",
        source="Koenker and Bassett 1978",
    )


@lru_cache(maxsize=64)
def quantiles(spread: float = 0.9) -> Cost:
    """Σ ½ |aᵢ − yᵢ| + (½ − τᵢ)(aᵢ − yᵢ): the quantile cost of each output i = 0…n−1 with a τᵢ of its own.

    The τᵢ = ½ + spread (i / (n−1) − ½) are evenly spaced around the median, and a single output has τ = ½. If
    three outputs have the same target, they learn an interval that holds the share `spread` of the targets,
    and the median in it. Raises ValueError unless 0 < spread < 1.
    """
    if not 0 < spread < 1:
        raise ValueError(f"the spread of quantiles must be between 0 and 1, not {spread!r}")

    def leans(a: Array) -> Array:
        """½ − τ of each output (n, 1)."""
        return np.asarray(0.5 - np.linspace(0, 1, len(a)), a.dtype)[:, None] * a.dtype.type(
            spread if len(a) > 1 else 0
        )

    def loss(a: Array, y: Array, out: Array) -> Calls:
        error = np.empty_like(a)
        return [
            *_absolute(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.subtract, a, y, error),
            partial(np.multiply, error, leans(a), error),
            partial(np.add, out, error, out),
        ]

    def gradient(a: Array, y: Array, out: Array) -> Calls:
        return [
            *_absolute_gradient(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.add, out, leans(a), out),
        ]

    return Cost(
        _name("quantiles", spread, usual=0.9),
        loss,
        gradient,
        cuda=None,
        cuda_columns=("measure_quantiles", "quantiles_gradient"),
        cuda_parameters=(float(spread),),
        latex=r"\sum_i \frac{1}{2} \lvert a_i - y_i \rvert + \left( \frac{1}{2} - \tau_i \right) (a_i - y_i)",
        source="Koenker and Bassett 1978",
    )


def _name(family: str, parameter: float, usual: float) -> str:
    """The name by which `get` finds this member of the family."""
    return family if parameter == usual else f"{family}({float(parameter)!r})"


def _above_zero(a: Array, out: Array) -> Calls:
    """out ← max(a, the type's smallest normal number), so that ln a is finite."""
    return [partial(np.maximum, a, filled(a.shape, a.dtype, float(np.finfo(a.dtype).tiny)), out=out)]


def _inside(a: Array, out: Array) -> Calls:
    """out ← a, kept so far inside (0, 1) that both ln a and ln(1 − a) are finite."""
    most = float(1 - np.finfo(a.dtype).epsneg)
    return [*_above_zero(a, out), partial(np.minimum, out, filled(a.shape, a.dtype, most), out=out)]


def _zero_outside(a: Array, inside: Array, out: Array) -> Calls:
    """out ← 0 for the outputs that were outside the domain: the cost is level there."""
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


CROSS_ENTROPY = Cost(
    "cross-entropy",
    _cross_entropy,
    _cross_entropy_gradient,
    cuda=("-y * log(above_zero(a))", "a > TINY ? -y / a : T(0)"),
    pairs_with="softmax",
    domain=(0, 1),
    of_targets=True,
    latex=r"-\sum y \ln a",
    source="Nielsen, chapter 3",
)


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
    """max(z, 0) − z y + ln(1 + e^−|z|), which does not overflow for any z."""
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


BINARY_CROSS_ENTROPY = Cost(
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
    latex=r"-\sum \left( y \ln a + (1 - y) \ln (1 - a) \right)",
    source="Nielsen, chapter 3",
)


def _poisson(a: Array, y: Array, out: Array) -> Calls:
    """a − y ln a: minus the logarithm of Poisson's e⁻ᵃ aʸ / y!, without the term ln y!, constant in a."""
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


POISSON = Cost(
    "poisson",
    _poisson,
    _poisson_gradient,
    cuda=("above_zero(a) - y * log(above_zero(a))", "a > TINY ? 1 - y / a : T(0)"),
    pairs_with="exp",
    domain=(0, math.inf),
    latex=r"\sum \left( a - y \ln a \right)",
    source="Nelder and Wedderburn 1972",
)


def _margins(a: Array, y: Array, out: Array) -> Calls:
    """aⱼ − a_y + 1 for every class j ≠ y, and 0 for the class y itself; y one-hot.

    A single output above 0 means class 1; its margin is 1 − y± a with y± = 2y − 1.
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
    """max(0, margin), summed over the classes j ≠ y: Weston and Watkins 1999, as in Stanford's CS231n."""
    return [*_margins(a, y, out), partial(np.maximum, out, constant(a, 0), out=out)]


def _hinge_gradient(a: Array, y: Array, out: Array) -> Calls:
    """1 for each class whose margin is above 0, and minus the number of these classes for the class y."""
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


HINGE = Cost(
    "hinge",
    _hinge,
    _hinge_gradient,
    cuda=None,
    cuda_columns=("measure_hinge", "hinge_gradient"),
    of_labels=True,
    threshold=0,
    latex=r"\sum_{j \ne y} \max(0, a_j - a_y + 1)",
    source="Weston and Watkins 1999",
)

COSTS = {
    cost.name: cost
    for cost in (
        QUADRATIC, MAE, LOG_COSH, huber(), quantile(), quantiles(), POISSON, CROSS_ENTROPY,
        BINARY_CROSS_ENTROPY, HINGE,
    )
}  # fmt: skip
FAMILIES: dict[str, Callable[[float], Cost]] = {"huber": huber, "quantile": quantile, "quantiles": quantiles}

_HALF_SQUARES, _EITHER = "'quadratic' (½ Σ (a − y)²)", "'cross-entropy' or 'binary-cross-entropy'"
OTHER_NAMES = OtherNames(
    aliases={
        "categorical cross-entropy": "cross-entropy",
        "sparse categorical cross-entropy": "cross-entropy",
        "nll": "cross-entropy",
        "negative log-likelihood": "cross-entropy",
        "bce": "binary-cross-entropy",
        "l1": "mae",
        "absolute error": "mae",
        "mean absolute error": "mae",
        "smooth l1": "huber",
        "pinball": "quantile",
    },
    near={
        **dict.fromkeys(("mse", "mean squared error", "squared error", "l2", "sse"), _HALF_SQUARES),
        "rmse": _HALF_SQUARES,
        "log loss": f"{_EITHER} (the latter after a sigmoid)",
        "bce with logits": "'binary-cross-entropy' (after a sigmoid, it is computed from z)",
        **dict.fromkeys(("kl", "kld", "kl divergence"), "'cross-entropy' (which adds the entropy of y)"),
        "poisson nll": "'poisson' (of a itself, not of ln a)",
        "focal": f"{_EITHER} (with class weights)",
    },
)


def get(cost: str | Cost) -> Cost:
    """Look up a cost by name, such as "huber" or "huber(2.0)", or return it as it is."""
    if isinstance(cost, Cost):
        return cost
    if not isinstance(cost, str):
        raise ValueError(f"a cost must be a name or a Cost, not {cost!r}")
    if not (parts := re.fullmatch(r"(.+)\((.*)\)", cost)):
        return look_up(COSTS, cost, "cost", OTHER_NAMES)
    family = look_up(FAMILIES, parts[1], "cost with a parameter")
    try:
        parameter = float(parts[2])
    except ValueError:
        raise ValueError(f"{parts[1]}'s parameter must be a number, not '{parts[2]}'") from None
    return family(parameter)


def has_name(cost: Cost) -> bool:
    """Whether `get` finds this cost by its name, so that a model file can hold it."""
    try:
        return get(cost.name) == cost
    except ValueError:
        return False


def usual_for(f: Activation) -> str:
    """The name of the cost with which an output layer of this activation is usually trained."""
    return next((cost.name for cost in COSTS.values() if cost.pairs(f)), "quadratic")
