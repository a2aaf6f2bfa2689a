"""Statistics of the layers agree with the network."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import Dense, Network

X = np.random.default_rng(0).standard_normal((20, 200))
Y = np.arange(200) % 3


def test_dead_and_saturated_units_are_found() -> None:
    net = Network(20, [Dense(8, "relu"), Dense(6, "sigmoid"), Dense(3, "softmax")], seed=0)
    net.biases[0][:2] = -1e3  # dead: below zero for every example
    net.biases[1][:3] = 50.0  # saturated
    first, second, third = gpunn.layer_statistics(net, X, Y)
    assert (first.layer, second.layer, third.layer) == (1, 2, 3)
    assert first.dead == 2 / 8
    assert second.dead == 3 / 6 == pytest.approx(second.saturated)
    assert (third.dead, third.saturated) == (None, None)
    assert third.mean == pytest.approx(1 / 3)


def test_the_values_equal_those_of_the_network() -> None:
    net = Network(20, [Dense(3, "tanh")], seed=0, dtype="float64")
    (only,) = gpunn.layer_statistics(net, X, Y)
    assert only.mean == pytest.approx(net.forward(X).mean())
    assert only.deviation == pytest.approx(net.forward(X).std())
    assert only.learning_speed == pytest.approx(np.linalg.norm(net.gradients(X, Y)[0][1]))


def test_gradients_vanish_towards_the_input_of_a_deep_sigmoid_network() -> None:
    """Early layers learn more slowly: Nielsen, chapter 5."""
    net = Network([20, 30, 30, 30, 3], seed=0)
    speeds = [layer.learning_speed for layer in gpunn.layer_statistics(net, X, Y)]
    assert speeds[0] < speeds[-1] / 3


def test_bytes_are_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 9), dtype=np.uint8)
    net = Network(20, [Dense(3, "gelu")], seed=0)
    assert gpunn.layer_statistics(net, pixels, Y[:9])[0].mean == pytest.approx(
        net.forward(pixels).mean(), rel=1e-5
    )
