"""Build gpunn's layers, initial weights, cost and optimizer from an estimator's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np

from gpunn.core import optimizers
from gpunn.core.layers import Dense
from gpunn.estimators.parameters import Parameters
from gpunn.functions import costs
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost
from gpunn.network import Network

MAX_AUTO_BATCH_SIZE = 200
GPUNN_NAMES = {"logistic": "sigmoid", "squared_error": "quadratic", "absolute_error": "mae"}
SCIKIT_LEARN_NAMES = {"sigmoid": "logistic"}


def hidden_sizes(parameters: Parameters) -> list[int]:
    """Return hidden_layer_sizes as a list of positive integers."""
    sizes = list(np.atleast_1d(np.asarray(parameters.hidden_layer_sizes, dtype=object)))
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
    if not all(n > 0 for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(n) for n in sizes]


def hidden_layers(parameters: Parameters) -> list[Dense]:
    """Build the hidden layers, each with its own activation and dropout rate if lists are given."""
    sizes = hidden_sizes(parameters)
    activations = _for_each_layer(parameters.activation, len(sizes), "activation")
    dropouts = _for_each_layer(parameters.dropout, len(sizes), "dropout")
    return [
        Dense(n, _gpunn_name(f), dropout=rate, batch_norm=parameters.batch_norm)
        for n, f, rate in zip(sizes, activations, dropouts, strict=True)
    ]


def cost(loss: str | Cost) -> Cost:
    """Return the cost with this scikit-learn or gpunn name; a `Cost` is returned unchanged."""
    return costs.get(_gpunn_name(loss))


def _gpunn_name(choice: Any) -> Any:
    return GPUNN_NAMES.get(choice, choice) if isinstance(choice, str) else choice


def _for_each_layer(choice: Any, layers: int, name: str) -> Sequence[Any]:
    """Return one entry per hidden layer: a single choice repeated, or the list as given."""
    pair = isinstance(choice, tuple) and len(choice) == 2 and all(map(callable, choice))
    if isinstance(choice, str | Activation | Real) or pair:
        return [choice] * layers
    if len(choice) != layers:
        raise ValueError(f"{name} has {len(choice)} entries for {layers} hidden layers")
    return list(choice)


def initialise(net: Network, random: np.random.RandomState) -> None:
    """Draw the initial weights exactly as scikit-learn does, number by number.

    w and b are uniform in ±√(6/(n_in + n_out)), or ±√(2/(n_in + n_out)) for logistic layers. The output layer
    counts as logistic if the last hidden layer is.
    """
    kinds = [layer.f.name for layer in net.layers]
    kinds[-1] = kinds[-2] if len(kinds) > 1 else "identity"
    for kind, (n_in, n), w, b in zip(kinds, pairwise(net.sizes), net.weights, net.biases, strict=True):
        bound = math.sqrt((2 if kind == "sigmoid" else 6) / (n_in + n))
        w[:] = random.uniform(-bound, bound, (n_in, n)).T
        b[:, 0] = random.uniform(-bound, bound, n)


def optimizer(parameters: Parameters, learning_rate: float, l2: float) -> optimizers.Optimizer:
    """Build SGD at this learning rate, or Adam at learning_rate_init, with λ = l2."""
    if parameters.solver == "adam":
        return optimizers.Adam(
            parameters.learning_rate_init,
            parameters.beta_1,
            parameters.beta_2,
            parameters.epsilon,
            l2=l2,
        )
    nesterov = bool(parameters.nesterovs_momentum and parameters.momentum > 0)
    return optimizers.SGD(learning_rate, parameters.momentum, nesterov, l2=l2)


def batch_size(parameters: Parameters, m: int) -> int:
    """Return the mini-batch size for m training examples, at most m; "auto" is at most 200."""
    size = parameters.batch_size
    return min(MAX_AUTO_BATCH_SIZE if isinstance(size, str) else int(size), m)
