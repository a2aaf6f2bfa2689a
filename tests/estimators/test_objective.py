"""Check the mean cost of all examples as a function of θ."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from helpers import MakeBackend

import gpunn
from gpunn.estimators.objective import Objective


def network(output: str = "softmax") -> gpunn.Network:
    return gpunn.Network(4, [gpunn.Dense(5, "tanh"), gpunn.Dense(3, output)], seed=1, dtype="float64")


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 30)), rng.integers(0, 3, 30)


def test_the_gradient_matches_finite_differences(backend: MakeBackend) -> None:
    net, (X, y) = network(), data()
    weights = np.random.default_rng(1).random(30)
    objective = Objective(net, X, y, sample_weight=weights, l2=0.3)
    theta = net.theta.astype(np.float64)
    _, gradient = objective(theta)
    used = np.flatnonzero(gradient)
    assert len(used) == net.parameters
    for k in used:
        step = np.zeros_like(theta)
        step[k] = 1e-6
        slope = (objective(theta + step)[0] - objective(theta - step)[0]) / 2e-6
        assert gradient[k] == pytest.approx(slope, abs=1e-8)


def test_it_equals_the_networks_cost_and_does_not_change_it(backend: MakeBackend) -> None:
    net, (X, y) = network(), data()
    objective, before = Objective(net, X, y, l2=0.1), net.theta.copy()
    squares = sum(np.sum(w**2) for w in net.weights)
    assert objective(net.theta)[0] == pytest.approx(net.evaluate(X, y)[0] + 0.05 * squares, rel=1e-12)
    assert objective.penalty(net.theta) == pytest.approx(0.05 * squares, rel=1e-12)
    objective(net.theta * 2)
    np.testing.assert_array_equal(net.theta, before)


def test_scipy_minimises_it() -> None:
    net, (X, y) = network(), data()
    found = scipy.optimize.minimize(Objective(net, X, y, l2=1e-2), net.theta, jac=True, method="L-BFGS-B")
    before = net.evaluate(X, y)[0]
    net.theta[:] = found.x
    assert found.success and net.evaluate(X, y)[0] < before / 2
