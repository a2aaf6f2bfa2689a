"""Train several networks as one estimator: `n_ensemble`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

import gpunn
from gpunn import MLPClassifier, MLPRegressor
from gpunn.estimators import ensemble

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CHECKS = parametrize_with_checks(
    [MLPClassifier(n_ensemble=2, hidden_layer_sizes=(8,), solver="lbfgs", alpha=1.0, tol=1e-12)]
).mark
X, Y = classes(60)
NUMBERS = X @ np.arange(X.shape[1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def members(kind: type, n: int, y: np.ndarray, **settings: Any) -> list[Any]:
    """Train estimators one by one, with the seeds that an ensemble with random_state=0 draws."""
    seeds = np.random.RandomState(0).randint(2**31, size=n)
    return [kind(random_state=int(seed), **settings).fit(X, y) for seed in seeds]


@pytest.mark.parametrize("workers", [False, True])
def test_an_ensemble_averages_its_members(workers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if workers:
        monkeypatch.setattr("gpunn.sweeps.engine.SHORT", 0.0)
    how = {"hidden_layer_sizes": (5,), "max_iter": 4, "device": "cpu"}
    est = MLPClassifier(n_ensemble=3, random_state=0, **how).fit(X, Y)
    alone = members(MLPClassifier, 3, Y, **how)
    mean = np.mean([member.predict_proba(X) for member in alone], 0)
    assert_allclose(est.predict_proba(X), mean, rtol=1e-12)
    assert_array_equal(est.predict(X), est.classes_[mean.argmax(1)])
    assert_allclose(est.ensemble_.forward(X.T).T, mean, rtol=1e-12)
    assert [member.random_state for member in est.estimators_] == [m.random_state for m in alone]


def test_an_ensemble_of_regressors() -> None:
    how = {"hidden_layer_sizes": (5,), "solver": "lbfgs", "max_iter": 20}
    est = MLPRegressor(n_ensemble=2, random_state=0, **how).fit(X, NUMBERS)
    alone = members(MLPRegressor, 2, NUMBERS, **how)
    assert_allclose(est.predict(X), np.mean([member.predict(X) for member in alone], 0), rtol=1e-12)


def test_members_stop_early_on_rows_of_their_own() -> None:
    est = MLPClassifier((5,), n_ensemble=2, early_stopping=True, max_iter=5, random_state=0).fit(X, Y)
    first, second = (member.validation_scores_ for member in est.estimators_)
    assert len(first) == len(second) == 5
    assert not np.array_equal(est.estimators_[0].coefs_[0], est.estimators_[1].coefs_[0])


def test_training_goes_on() -> None:
    warm = MLPClassifier((5,), n_ensemble=2, warm_start=True, max_iter=2, random_state=0, shuffle=False)
    unbroken = MLPClassifier((5,), n_ensemble=2, max_iter=4, random_state=0, shuffle=False).fit(X, Y)
    assert_allclose(warm.fit(X, Y).fit(X, Y).predict_proba(X), unbroken.predict_proba(X), rtol=1e-12)
    with pytest.raises(ValueError, match="cannot continue training 2 networks as 3"):
        warm.set_params(n_ensemble=3).fit(X, Y)


def test_partial_fit() -> None:
    est = MLPClassifier((5,), n_ensemble=2, random_state=0, shuffle=False)
    for _ in range(3):
        est.partial_fit(X, Y, classes=np.unique(Y))
    whole = MLPClassifier((5,), n_ensemble=2, random_state=0, shuffle=False, max_iter=3).fit(X, Y)
    assert_allclose(est.predict_proba(X), whole.predict_proba(X), rtol=1e-12)


def test_callbacks_see_every_epoch_of_every_member() -> None:
    epochs = []
    MLPClassifier((5,), n_ensemble=2, max_iter=3, callbacks=lambda record: epochs.append(record.epoch)).fit(
        X, Y
    )
    assert epochs == [1, 2, 3, 1, 2, 3]


def test_pickles_and_single_networks_again() -> None:
    est = MLPClassifier((5,), n_ensemble=2, max_iter=3, random_state=0).fit(X, Y)
    assert_array_equal(pickle.loads(pickle.dumps(est)).predict_proba(X), est.predict_proba(X))
    with pytest.raises(AttributeError, match="an ensemble has several networks"):
        _ = est.coefs_
    est.set_params(n_ensemble=1).fit(X, Y)
    assert isinstance(est.network_, gpunn.Network)
    alone = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, Y)
    assert_array_equal(est.predict_proba(X), alone.predict_proba(X))


def test_a_member_that_fails_says_why() -> None:
    est = MLPRegressor(n_ensemble=2, solver="sgd", learning_rate_init=1e6, max_iter=30, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        est.fit(X, NUMBERS)
    with pytest.raises(ValueError, match="n_ensemble must be a positive integer, not 0"):
        MLPClassifier(n_ensemble=0).fit(X, Y)
    lost = ensemble._lost((1, est), "the worker was killed")
    assert "the process of member 1 ended twice: the worker was killed" in str(lost.error)
