"""What an estimator's parameters mean to gpunn: the layers, the first weights, the optimizer, the rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.core import optimizers
from gpunn.core.layers import Dense
from gpunn.functions import costs
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost
from gpunn.network import Network
from gpunn.training.history import Callback

if TYPE_CHECKING:
    from gpunn.estimators.base import BaseMLP

STOCHASTIC, SOLVERS, RATES = ("adam", "sgd"), ("adam", "sgd", "lbfgs"), ("constant", "invscaling", "adaptive")
BATCH = 200  # of "auto", at most
OURS = {"logistic": "sigmoid", "squared_error": "quadratic", "absolute_error": "mae"}  # by their names
THEIRS = {"sigmoid": "logistic"}

Rule = tuple[Callable[[Any], bool], str]


def _number(within: Callable[[Any], bool], words: str, kind: type = Real) -> Rule:
    def holds(value: Any) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool) and within(value)

    return holds, words


def _one_of(*choices: str | None) -> Rule:
    return lambda value: value in choices, f"one of {', '.join(map(str, choices))}"


_flag: Rule = (lambda value: isinstance(value, bool | np.bool_), "True or False")
_positive = _number(lambda x: 0 < x < math.inf, "a number above 0")
_not_negative = _number(lambda x: 0 <= x < math.inf, "a number of 0 or more")
_share = _number(lambda x: 0 <= x < 1, "a number in [0, 1)")
_count = _number(lambda n: n >= 1, "a whole number of at least 1", Integral)

RULES: dict[str, Rule] = {
    "solver": _one_of(*SOLVERS),
    "alpha": _not_negative,
    "batch_size": (lambda n: (isinstance(n, str) and n == "auto") or _count[0](n), "'auto' or " + _count[1]),
    "learning_rate": _one_of(*RATES),
    "learning_rate_init": _positive,
    "power_t": _not_negative,
    "max_iter": _count,
    "shuffle": _flag,
    "tol": _not_negative,
    "warm_start": _flag,
    "momentum": _share,
    "nesterovs_momentum": _flag,
    "early_stopping": _flag,
    "validation_fraction": _share,
    "beta_1": _share,
    "beta_2": _share,
    "epsilon": _positive,
    "n_iter_no_change": (lambda n: _count[0](n) or n == math.inf, _count[1] + " or inf"),
    "max_fun": _count,
    "precision": _one_of(None, "float32", "float64", "tf32", "bf16"),
    "batch_norm": _flag,
    "activation": (lambda f: f is not None, "a name, an Activation, a pair (f, f′), or a list of these"),
    "callbacks": (lambda c: c is None or callable(c) or all(map(callable, c)), "a function, or several"),
}


def check(est: BaseMLP) -> None:
    """ValueError for the first parameter that breaks its rule."""
    for name, (holds, words) in RULES.items():
        if not holds(getattr(est, name)):
            raise ValueError(f"{type(est).__name__}: {name} must be {words}, not {getattr(est, name)!r}")
    if est.solver == "lbfgs" and (est.batch_norm or any(np.atleast_1d(est.dropout))):
        raise ValueError("lbfgs needs a cost that stays the same: give it no dropout and no batch_norm")


def hidden_sizes(est: BaseMLP) -> list[int]:
    """hidden_layer_sizes as a list."""
    sizes = list(np.atleast_1d(np.asarray(est.hidden_layer_sizes, dtype=object)))
    if not all(isinstance(n, int | np.integer) for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
    if not all(n > 0 for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(n) for n in sizes]


def hidden_layers(est: BaseMLP) -> list[Dense]:
    """The layers between, with an activation and a dropout of their own where a list is given."""
    sizes = hidden_sizes(est)
    activations = _each(est.activation, len(sizes), "activation")
    dropouts = _each(est.dropout, len(sizes), "dropout")
    return [
        Dense(n, _our(f), dropout=rate, batch_norm=est.batch_norm)
        for n, f, rate in zip(sizes, activations, dropouts, strict=True)
    ]


def cost(loss: str | Cost) -> Cost:
    """A cost by scikit-learn's name or gpunn's, or as it is."""
    return costs.get(OURS.get(loss, loss) if isinstance(loss, str) else loss)


def _our(activation: Any) -> Any:
    return OURS.get(activation, activation) if isinstance(activation, str) else activation


def _each(choice: Any, layers: int, name: str) -> Sequence[Any]:
    """One for each hidden layer: the same for all, or as listed."""
    pair = isinstance(choice, tuple) and len(choice) == 2 and all(map(callable, choice))
    if isinstance(choice, str | Activation | Real) or pair:
        return [choice] * layers
    if len(choice) != layers:
        raise ValueError(f"{name} has {len(choice)} entries for {layers} hidden layers")
    return list(choice)


def first_weights(net: Network, random: np.random.RandomState) -> None:
    """scikit-learn's own draw, number by number: w and b uniform in ±√(6/(n_in + n_out)), and after
    logistic layers in ±√(2/(n_in + n_out)), the output layer taken for one of the kind before it."""
    kinds = [layer.f.name for layer in net.layers]
    kinds[-1] = kinds[-2] if len(kinds) > 1 else "identity"
    for kind, (n_in, n), w, b in zip(kinds, pairwise(net.sizes), net.weights, net.biases, strict=True):
        bound = math.sqrt((2 if kind == "sigmoid" else 6) / (n_in + n))
        w[:] = random.uniform(-bound, bound, (n_in, n)).T
        b[:, 0] = random.uniform(-bound, bound, n)


def optimizer(est: BaseMLP, l2: float) -> optimizers.Optimizer:
    """SGD or Adam, with λ = l2."""
    if est.solver == "adam":
        return optimizers.Adam(est.learning_rate_init, est.beta_1, est.beta_2, est.epsilon, l2=l2)
    nesterov = bool(est.nesterovs_momentum and est.momentum > 0)
    return optimizers.SGD(est.learning_rate_, est.momentum, nesterov, l2=l2)


def callbacks(est: BaseMLP) -> Sequence[Callback]:
    """One or several."""
    return [est.callbacks] if callable(est.callbacks) else est.callbacks or ()


def batch_size(est: BaseMLP, m: int) -> int:
    """Of m examples to train on."""
    return min(BATCH, m) if isinstance(est.batch_size, str) else min(int(est.batch_size), m)
