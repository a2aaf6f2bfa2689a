"""Costs of numbers: quadratic, mae, huber and log-cosh, which depend on the error a − y alone."""

from __future__ import annotations

import math
from functools import lru_cache, partial

import numpy as np

from gpunn.functions.calls import Array, Calls, constant
from gpunn.functions.costs.cost import Cost, member_name


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


def absolute(a: Array, y: Array, out: Array) -> Calls:
    """|a − y|."""
    return [partial(np.subtract, a, y, out), partial(np.abs, out, out)]


def absolute_gradient(a: Array, y: Array, out: Array) -> Calls:
    """sign(a − y), 0 on the kink."""
    return [partial(np.subtract, a, y, out), partial(np.sign, out, out)]


MAE = Cost(
    "mae",
    absolute,
    absolute_gradient,
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

    e, d = "(a - y)", "PARAMETER"
    cuda = (
        f"fabs{e} <= {d} ? {e} * {e} / 2 : {d} * (fabs{e} - {d} / 2)",
        f"{e} < -{d} ? -{d} : {e} > {d} ? {d} : {e}",
    )
    return Cost(
        member_name("huber", delta, usual=1.0),
        loss,
        gradient,
        cuda,
        cuda_parameters=(float(delta),),
        latex=r"\sum \begin{cases} \frac{1}{2} e^2 & e = \lvert a - y \rvert \le \delta \\ "
        r"\delta (e - \frac{1}{2} \delta) & \text{else} \end{cases}",
        source="Huber 1964",
    )


def _log_cosh(a: Array, y: Array, out: Array) -> Calls:
    """ln cosh e = |e| + ln(1 + (e^−2|e| − 1) / 2) with e = a − y, which does not overflow for any e."""
    rest = np.empty_like(a)
    return [
        *absolute(a, y, out),
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
