"""Steps of the optimizers against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from small_network import X, Y, small

import gpunn
from gpunn import Network


def test_adam_by_its_algorithm(backend: MakeBackend) -> None:
    nets = [small(7), small(7)]
    nets[0].fit(X, Y, epochs=3, batch_size=16, optimizer=gpunn.Adam(0.01))
    reference = _trajectory(nets[1])
    np.testing.assert_allclose(nets[0].weights[0], reference, atol=1e-12)


def _trajectory(net: Network) -> np.ndarray:
    """Run three epochs of Adam as published (algorithm 1) on the CPU's gradients; return w[1]."""
    net.rng, theta = np.random.default_rng(), None
    seeded = small(7)
    theta = seeded.weights + seeded.biases
    m, v, t = [np.zeros_like(w) for w in theta], [np.zeros_like(w) for w in theta], 0
    for _ in range(3):
        order = seeded.rng.permutation(40)
        for start in range(0, 40, 16):
            batch = order[start : start + 16]
            gradients = seeded.gradients(X[:, batch], Y[batch])
            t += 1
            for i, g in enumerate([dw for dw, _ in gradients] + [db for _, db in gradients]):
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g**2
                theta[i] -= 0.01 * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    return seeded.weights[0]


def _steps(optimizer: gpunn.SGD, steps: int) -> list[np.ndarray]:
    """Run full-batch steps by the formulas in the optimizer's docstring; return the parameters."""
    net = small()
    theta = net.weights + net.biases
    v = [np.zeros_like(w) for w in theta]
    for _ in range(steps):
        gradients = net.gradients(X, Y)
        flat = [dw + optimizer.l2 * w for (dw, _), w in zip(gradients, net.weights, strict=True)]
        for i, g in enumerate(flat + [db for _, db in gradients]):
            v[i] = optimizer.momentum * v[i] + g
            move = g + optimizer.momentum * v[i] if optimizer.nesterov else v[i]
            theta[i] -= optimizer.learning_rate * move
    return theta


@pytest.mark.parametrize("l2", [0, 0.01])
@pytest.mark.parametrize("make", [gpunn.SGD, gpunn.Momentum, gpunn.Nesterov])
def test_gradient_descent_by_its_formulas(backend: MakeBackend, make: Any, l2: float) -> None:
    optimizer, net = make(0.3, l2=l2), small()
    net.fit(X, Y, epochs=4, batch_size=40, optimizer=optimizer)
    for mine, theirs in zip(net.weights + net.biases, _steps(optimizer, 4), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-13)


def test_adam_adds_weight_decay_to_the_gradient(backend: MakeBackend) -> None:
    net, plain = small(), small()
    net.fit(X, Y, epochs=1, batch_size=40, optimizer=gpunn.Adam(0.01, epsilon=1.0, l2=0.5))
    g = plain.gradients(X, Y)[0][0] + 0.5 * plain.weights[0]
    np.testing.assert_allclose(net.weights[0], plain.weights[0] - 0.01 * g / (np.abs(g) + 1), atol=1e-13)


@pytest.mark.parametrize("optimizer", [gpunn.Momentum(0.1), gpunn.Adam(), gpunn.RMSProp()])
def test_an_optimizer_continues_from_its_state(backend: MakeBackend, optimizer: Any) -> None:
    net, straight, state = small(), small(), {}
    for _ in range(3):
        net.fit(X, Y, epochs=2, optimizer=optimizer, optimizer_state=state)
    straight.fit(X, Y, epochs=6, optimizer=optimizer)
    np.testing.assert_allclose(net.theta, straight.theta, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="belongs to another optimizer or another network"):
        net.fit(X, Y, optimizer="sgd", optimizer_state=state)
