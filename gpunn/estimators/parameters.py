"""The estimators' parameters, with scikit-learn's names and defaults, and the rules for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from gpunn.functions.costs import Cost
from gpunn.training.history import Callback

STOCHASTIC_SOLVERS = ("adam", "sgd")
SOLVERS = (*STOCHASTIC_SOLVERS, "lbfgs")
SCHEDULES = ("constant", "invscaling", "adaptive")


@dataclass(eq=False, repr=False, kw_only=True)
class Parameters:
    """The parameters that both estimators share; `BaseMLP` documents them."""

    loss: str | Cost = ""
    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    device: str = "auto"
    precision: str | None = None
    dropout: float | Sequence[float] = 0.0
    batch_norm: bool = False
    scoring: Any = None
    callbacks: Callback | Sequence[Callback] | None = None
    n_ensemble: int = 1


Rule = tuple[Callable[[Any], bool], str]


def _number(within: Callable[[Any], bool], words: str, kind: type = Real) -> Rule:
    def holds(value: Any) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool) and within(value)

    return holds, words


def _one_of(*choices: str | None) -> Rule:
    return lambda value: value in choices, f"one of {', '.join(map(str, choices))}"


_flag: Rule = (lambda value: isinstance(value, bool | np.bool_), "True or False")
_positive = _number(lambda x: 0 < x < math.inf, "a positive number")
_non_negative = _number(lambda x: 0 <= x < math.inf, "a non-negative number")
_fraction = _number(lambda x: 0 <= x < 1, "a number in [0, 1)")
_count = _number(lambda n: n >= 1, "a positive integer", Integral)

RULES: dict[str, Rule] = {
    "solver": _one_of(*SOLVERS),
    "alpha": _non_negative,
    "batch_size": (lambda n: (isinstance(n, str) and n == "auto") or _count[0](n), "'auto' or " + _count[1]),
    "learning_rate": _one_of(*SCHEDULES),
    "learning_rate_init": _positive,
    "power_t": _non_negative,
    "max_iter": _count,
    "shuffle": _flag,
    "tol": _non_negative,
    "warm_start": _flag,
    "momentum": _number(lambda x: 0 <= x <= 1, "a number in [0, 1]"),
    "nesterovs_momentum": _flag,
    "early_stopping": _flag,
    "validation_fraction": _fraction,
    "beta_1": _fraction,
    "beta_2": _fraction,
    "epsilon": _positive,
    "n_iter_no_change": (lambda n: _count[0](n) or n == math.inf, _count[1] + " or inf"),
    "max_fun": _count,
    "n_ensemble": _count,
    "precision": _one_of(None, "float32", "float64", "tf32", "bf16"),
    "batch_norm": _flag,
    "activation": (lambda f: f is not None, "a name, an Activation, a pair (f, f′), or a list of these"),
    "callbacks": (
        lambda c: c is None or callable(c) or all(map(callable, c)),
        "a function or a list of functions",
    ),
}


def check(parameters: Parameters) -> None:
    """Raise ValueError for the first parameter that breaks its rule."""
    for name, (holds, words) in RULES.items():
        value = getattr(parameters, name)
        if not holds(value):
            raise ValueError(f"{type(parameters).__name__}: {name} must be {words}, not {value!r}")
    if parameters.solver == "lbfgs" and (parameters.batch_norm or any(np.atleast_1d(parameters.dropout))):
        raise ValueError("solver 'lbfgs' needs a deterministic cost: set dropout=0 and batch_norm=False")


def learns_by_minibatches(parameters: Parameters) -> bool:
    """Raise AttributeError if the solver has no `partial_fit`; otherwise return True."""
    if parameters.solver not in STOCHASTIC_SOLVERS:
        raise AttributeError(
            f"partial_fit needs a mini-batch solver (adam or sgd), not {parameters.solver!r}"
        )
    return True
