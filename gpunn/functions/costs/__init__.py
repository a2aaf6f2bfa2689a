"""Costs: C and its gradient, each with all its spellings in one entry.

`cost` says what an entry is. The entries are in `regression`, `pinball`, `likelihoods` and `hinge`.

As in `gpunn.functions.activations`, the NumPy spelling returns bound calls, and the CUDA spelling stands
beside it. A cost is a sum over the outputs of one example; its callers average it over the examples. Most
costs compute each output's share from that output a and its target y alone. hinge needs the whole column, and
quantiles the place in it.

To add a cost, write its entry, list it in `COSTS` here, add its formula to `gpunn/reference.py`, and update
the JSON schema (`PYTHONPATH=. python tests/support/schema_names.py`). Everything else follows from the entry.
"""

from __future__ import annotations

import copyreg
import re
from collections.abc import Callable
from typing import Any

from gpunn.functions.activations import Activation
from gpunn.functions.costs.cost import Cost
from gpunn.functions.costs.hinge import HINGE
from gpunn.functions.costs.likelihoods import BINARY_CROSS_ENTROPY, CROSS_ENTROPY, POISSON
from gpunn.functions.costs.pinball import quantile, quantiles
from gpunn.functions.costs.regression import LOG_COSH, MAE, QUADRATIC, huber
from gpunn.names import OtherNames, look_up

__all__ = [
    "COSTS",
    "FAMILIES",
    "OTHER_NAMES",
    "Cost",
    "get",
    "has_name",
    "huber",
    "quantile",
    "quantiles",
    "usual_for",
]


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


def _reduce(cost: Cost) -> Any:
    """Pickle a built-in cost by its name."""
    return (get, (cost.name,)) if has_name(cost) else cost.__reduce_ex__(4)


copyreg.pickle(Cost, _reduce)
