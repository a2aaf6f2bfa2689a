"""Warm starts of lbfgs continue with the curvature that earlier fits have learnt."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpunn import MLPClassifier, MLPRegressor
from gpunn.estimators.curvature import MEMORY, Curvature

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]


def wave() -> tuple[np.ndarray, np.ndarray]:
    """Make a smooth function of three numbers that needs many iterations."""
    X = np.random.default_rng(0).uniform(-1, 1, (400, 3))
    return X, np.sin(4 * X[:, 0]) * X[:, 1] + X[:, 2] ** 2


def regressor(**parameters: Any) -> MLPRegressor:
    given = {"solver": "lbfgs", "warm_start": True, "random_state": 0, "hidden_layer_sizes": (20,)}
    return MLPRegressor(**given | parameters)


def pairs(n: int, k: int) -> tuple[Curvature, np.ndarray]:
    """Return a memory of k steps on a quadratic cost of n variables, and the cost's Hessian."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((n, n))
    hessian, memory = root @ root.T + np.eye(n), Curvature()
    for s in rng.standard_normal((k, n)):
        memory.add(s, hessian @ s)
    return memory, hessian


@pytest.mark.parametrize("k", [1, 3, 14])
def test_the_square_root_squared_is_the_formula_of_bfgs(k: int) -> None:
    memory, _ = pairs(12, k)
    s, y = memory.s[-1], memory.y[-1]
    inverse = np.eye(12) * (s @ y) / (y @ y)
    for s, y in zip(memory.s, memory.y, strict=True):
        shift = np.eye(12) - np.outer(y, s) / (s @ y)
        inverse = shift.T @ inverse @ shift + np.outer(s, s) / (s @ y)
    root = memory.square_root()
    found = np.array([root(root(e)) for e in np.eye(12)])
    assert_allclose(found, inverse, rtol=1e-8, atol=1e-10)
    assert len(memory.s) == min(k, MEMORY)


def test_the_first_trial_step_is_the_quasi_newton_step() -> None:
    memory, _ = pairs(12, 5)
    gradient = np.random.default_rng(2).standard_normal(12)
    change, root = memory.change_of_variables(gradient), memory.square_root()
    direction = -change(gradient)  # steepest descent in u
    step = change(direction / np.linalg.norm(direction))
    assert_allclose(step, -root(root(gradient)), rtol=1e-10)


def test_pairs_without_positive_curvature_are_left_out() -> None:
    memory = Curvature()
    memory.add(np.ones(3), -np.ones(3))
    memory.add(np.zeros(3), np.zeros(3))
    assert not memory.s
    assert_array_equal(memory.change_of_variables(np.ones(3))(np.arange(3)), np.arange(3))


@pytest.mark.parametrize("iterations", [1, 5, 20])
def test_many_short_fits_come_as_far_as_one_long_fit(iterations: int) -> None:
    X, y = wave()
    whole, parts = regressor(max_iter=200).fit(X, y), regressor(max_iter=iterations)
    for _ in range(200 // iterations):
        parts.fit(X, y)
    assert parts.score(X, y) > whole.score(X, y) - 0.01 > 0.96
    assert len(parts.loss_curve_) <= 200


def test_a_pickled_estimator_continues_with_its_memory() -> None:
    X, y = wave()
    est = regressor(max_iter=30).fit(X, y)
    twin = pickle.loads(pickle.dumps(est))
    assert_array_equal(est.fit(X, y).coefs_[0], twin.fit(X, y).coefs_[0])


def test_a_memory_of_other_weights_is_dropped() -> None:
    X, y = wave()
    est, fresh = regressor(max_iter=10).fit(X, y), regressor(max_iter=10).fit(X, y)
    fresh._optimizer_states.clear()
    for each in (est, fresh):
        each.coefs_[0] *= 0.5
        each.fit(X, y)
    assert_array_equal(est.coefs_[0], fresh.coefs_[0])


def test_nothing_is_kept_without_a_warm_start() -> None:
    X, y = wave()
    assert not regressor(max_iter=10, warm_start=False).fit(X, y)._optimizer_states


def test_a_converged_fit_stays_where_it_is() -> None:
    X, y = wave()
    est = MLPClassifier((), solver="lbfgs", warm_start=True, alpha=1.0, max_iter=1000, random_state=0)
    est.fit(X, y > 0)
    before, iterations = est.loss_, est.n_iter_
    est.fit(X, y > 0)
    assert est.n_iter_ < iterations and est.loss_ <= before * (1 + 1e-9)
