"""Costs of quantiles: one quantile for all outputs, or one for each output."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from gpunn.functions.calls import Array, Calls, constant
from gpunn.functions.costs.cost import Cost, member_name
from gpunn.functions.costs.regression import absolute, absolute_gradient


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
            *absolute(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.subtract, a, y, error),
            partial(np.multiply, error, constant(a, lean), error),
            partial(np.add, out, error, out),
        ]

    def gradient(a: Array, y: Array, out: Array) -> Calls:
        return [
            *absolute_gradient(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.add, out, constant(a, lean), out),
        ]

    return Cost(
        member_name("quantile", tau, usual=0.5),
        loss,
        gradient,
        cuda=("fabs(a - y) / 2 + PARAMETER * (a - y)", "(T(a > y) - T(a < y)) / 2 + PARAMETER"),
        cuda_parameters=(lean,),
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
            *absolute(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.subtract, a, y, error),
            partial(np.multiply, error, leans(a), error),
            partial(np.add, out, error, out),
        ]

    def gradient(a: Array, y: Array, out: Array) -> Calls:
        return [
            *absolute_gradient(a, y, out),
            partial(np.multiply, out, constant(a, 0.5), out),
            partial(np.add, out, leans(a), out),
        ]

    return Cost(
        member_name("quantiles", spread, usual=0.9),
        loss,
        gradient,
        cuda=None,
        cuda_columns=("measure_quantiles", "quantiles_gradient"),
        cuda_parameters=(float(spread),),
        latex=r"\sum_i \frac{1}{2} \lvert a_i - y_i \rvert + \left( \frac{1}{2} - \tau_i \right) (a_i - y_i)",
        source="Koenker and Bassett 1978",
    )
