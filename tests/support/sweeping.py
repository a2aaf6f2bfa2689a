"""Examples that the tests of sweeps share, and a sweep that is quick."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers import classes

import gpunn
from gpunn import Dense

ROWS, Y = classes(60, 3, 5)
X = np.asfortranarray(ROWS.T)
LAYERS = [Dense(4, "tanh"), Dense(3, "softmax")]


def sweep(**arguments: Any) -> gpunn.SweepResult:
    """Sweep over two learning rates, or what is asked for."""
    arguments = {"grid": {"learning_rate": [0.1, 0.5]}, "epochs": 2, "optimizer": "sgd"} | arguments
    return gpunn.sweep(
        arguments.pop("X", X), arguments.pop("y", Y), arguments.pop("layers", LAYERS), **arguments
    )


def alone(layers: list[Dense] = LAYERS, seed: int = 0, **options: Any) -> gpunn.Network:
    """Train one network by itself."""
    net = gpunn.Network(5, layers, seed=seed)
    net.fit(X, Y, **({"epochs": 2, "device": "cpu"} | options))
    return net


def equal(a: gpunn.Network, b: gpunn.Network) -> bool:
    """Whether two networks are bitwise identical."""
    return np.array_equal(a.theta, b.theta)
