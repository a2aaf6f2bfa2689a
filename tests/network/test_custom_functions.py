"""Custom activations and costs."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from small_network import X, Y, small

import gpunn
from gpunn import Dense, Network


def test_a_custom_activation_and_cost_learn(backend: MakeBackend) -> None:
    softsign = (lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2)
    mine = gpunn.Activation.from_functions(
        *softsign, "softsign", cuda=("z / (1 + fabs(z))", "1 / ((1 + fabs(z)) * (1 + fabs(z)))")
    )
    cubic = gpunn.Cost.from_functions(
        lambda a, y: np.abs(a - y) ** 3 / 3,
        lambda a, y: (a - y) * np.abs(a - y),
        "cubic",
        cuda=("fabs((a - y) * (a - y) * (a - y)) / 3", "(a - y) * fabs(a - y)"),
    )
    net = Network(5, [Dense(6, mine), Dense(3, "identity")], cubic, 0, "float64")
    assert gpunn.check_gradients(net, X, Y) < 1e-6
    assert net.fit(X, Y, epochs=30)[-1].loss < net.fit(X, Y, epochs=1)[0].loss * 3


def test_a_custom_function_must_keep_the_shape() -> None:
    def net(f: Any, loss: Any) -> Network:
        cost = gpunn.Cost.from_functions(loss, lambda a, y: a - y)
        return Network(5, [Dense(6, (f, np.cos)), Dense(3, "identity")], cost, seed=0)

    with pytest.raises(ValueError, match=r"the loss must return an array of shape \(3, 40\), not \(\)"):
        net(np.sin, lambda a, y: np.sum((a - y) ** 2)).fit(X, Y, device="cpu", batch_size=40)
    with pytest.raises(ValueError, match=r"an activation must return .* \(6, 40\), not \(1, 40\)"):
        net(lambda z: z[:1], np.subtract).forward(X)


def test_check_gradients_draws_a_sample() -> None:
    assert gpunn.check_gradients(small(dtype="float32"), X, Y, samples=5) < 1e-6


def test_custom_functions_are_copied_and_pickled() -> None:
    layers = [Dense(4, (np.sin, np.cos)), Dense(3, "identity")]
    net = Network(5, layers, gpunn.Cost.from_functions(np.subtract, np.ones_like), seed=0)
    for copy in (deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(copy.forward(X), net.forward(X))
        assert copy.evaluate(X, Y) == net.evaluate(X, Y)
    relu = gpunn.ACTIVATIONS["relu"]
    assert deepcopy(relu) is relu and pickle.loads(pickle.dumps(relu)) is relu
