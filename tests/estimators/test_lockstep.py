"""Fits that are trained in lockstep on a device equal those that are trained there one by one."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from emulated import EmulatedDevice
from helpers import classes
from numpy.testing import assert_allclose, assert_array_equal
from roomy import roomy_device
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpunn import MLPClassifier, MLPRegressor, SweepSearchCV
from gpunn.estimators import lockstep
from gpunn.training import loop

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = classes(60)
SMALL: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 4, "batch_size": 16, "random_state": 0}
IMPATIENT = {"n_iter_no_change": 1, "tol": 0.1}
RATES = {"learning_rate_init": [0.001, 0.05]}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    """A device that has room for small networks; all networks are trained on it."""
    return roomy_device(monkeypatch)


def same(ours: Any, theirs: Any) -> None:
    """Assert that two searches have the same scores and choice."""
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    for name, column in theirs.cv_results_.items():
        if name.endswith("_score") and "rank" not in name:
            assert_allclose(ours.cv_results_[name], column, rtol=1e-5)
    assert ours.best_params_ == theirs.best_params_


CASES: dict[str, dict[str, Any]] = {
    "adam": {},
    "float64": {"precision": None},
    "gradient descent": {"solver": "sgd", "momentum": 0.0},
    "nesterov": {"solver": "sgd", "alpha": 0.1},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "n_iter_no_change": 1,
        "tol": 0.1,
        "max_iter": 8,
    },
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "early stopping": {
        "early_stopping": True,
        "n_iter_no_change": 2,
        "max_iter": 8,
        "validation_fraction": 0.3,
    },
    "patience": {"n_iter_no_change": 1, "tol": 0.05, "max_iter": 8},
    "in order": {"shuffle": False},
    "balanced": {"class_weight": "balanced"},
    "logistic": {"activation": "logistic"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_search_scores_as_one_by_one(device: EmulatedDevice, case: str) -> None:
    mlp = MLPClassifier(**{**SMALL, "precision": "float32", **CASES[case]})
    how = {"cv": 3, "scoring": ["accuracy", "neg_log_loss"], "refit": "accuracy", "return_train_score": True}
    ours = SweepSearchCV(mlp, RATES, **how).fit(X, Y)
    together = device.launches.pop("train")
    theirs = GridSearchCV(mlp, RATES, **how).fit(X, Y)
    same(ours, theirs)
    assert together < device.launches["train"]
    device.check()


def test_an_epoch_of_all_fits_is_one_launch(device: EmulatedDevice) -> None:
    SweepSearchCV(MLPClassifier(**SMALL), RATES, cv=3, refit=False).fit(X, Y)
    assert device.launches["train"] == 4


def test_candidates_of_different_shapes(device: EmulatedDevice) -> None:
    grid = {"hidden_layer_sizes": [(5,), (3, 4)], "alpha": [0.0, 0.1]}
    ours = SweepSearchCV(MLPClassifier(**SMALL), grid, cv=2).fit(X, Y)
    same(ours, GridSearchCV(MLPClassifier(**SMALL), grid, cv=2).fit(X, Y))


def test_few_fits_at_once(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits that copy many rows are run a few at a time."""
    monkeypatch.setattr(lockstep, "BYTES", 2 * X.nbytes)
    ours = SweepSearchCV(MLPClassifier(**SMALL), RATES, cv=3, pre_dispatch=4).fit(X, Y)
    same(ours, GridSearchCV(MLPClassifier(**SMALL), RATES, cv=3).fit(X, Y))


def test_pipelines_and_other_solvers(device: EmulatedDevice) -> None:
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL))
    grid = {"mlpclassifier__solver": ["adam", "lbfgs"], "mlpclassifier__alpha": [0.01, 1.0]}
    same(SweepSearchCV(pipeline, grid, cv=2).fit(X, Y), GridSearchCV(pipeline, grid, cv=2).fit(X, Y))


def test_networks_that_the_kernel_does_not_know(device: EmulatedDevice) -> None:
    mlp = MLPClassifier(**SMALL, dropout=0.5)
    same(SweepSearchCV(mlp, RATES, cv=2).fit(X, Y), GridSearchCV(mlp, RATES, cv=2).fit(X, Y))
    assert "train" not in device.launches


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_a_candidate_that_diverges_costs_the_others_nothing(device: EmulatedDevice) -> None:
    mlp = MLPRegressor(**SMALL, solver="sgd")
    found = SweepSearchCV(mlp, {"learning_rate_init": [0.001, 1e30]}, cv=2)
    with pytest.warns(match="2 fits failed out of a total of 4"):
        found.fit(X, X[:, 0])
    assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), [False, True])
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        found.set_params(error_score="raise").fit(X, X[:, 0])


def test_an_ensemble_equals_its_members(device: EmulatedDevice) -> None:
    how = {**SMALL, "early_stopping": True, "tol": 0.1, "n_iter_no_change": 2, "max_iter": 8}
    est = MLPClassifier(**how, n_ensemble=3).fit(X, Y)
    seeds = np.random.RandomState(0).randint(2**31, size=3)
    for member, seed in zip(est.estimators_, seeds, strict=True):
        alone = MLPClassifier(**{**how, "random_state": int(seed)}).fit(X, Y)
        assert_allclose(member.network_.theta, alone.network_.theta, atol=1e-6)
        assert member.validation_scores_ == alone.validation_scores_
        assert member.n_iter_ == alone.n_iter_
        assert member.t_ == alone.t_


def test_an_ensemble_goes_on(device: EmulatedDevice) -> None:
    how = {**SMALL, "shuffle": False, "n_ensemble": 2}
    unbroken = MLPClassifier(**how).fit(X, Y)
    warm = MLPClassifier(**{**how, "max_iter": 2}, warm_start=True).fit(X, Y).fit(X, Y)
    assert_allclose(warm.predict_proba(X), unbroken.predict_proba(X), rtol=1e-5)
    partial = MLPClassifier(**how)
    for _ in range(4):
        partial.partial_fit(X, Y, classes=np.unique(Y))
    assert_allclose(partial.predict_proba(X), unbroken.predict_proba(X), rtol=1e-5)


def test_an_ensemble_warns_once_and_raises(device: EmulatedDevice) -> None:
    with pytest.warns() as caught:
        MLPClassifier(**{**SMALL, "batch_size": 100}, n_ensemble=3).fit(X, Y)
    assert [str(w.message).split(" is")[0] for w in caught].count("batch_size=100") == 1
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(**SMALL, solver="sgd", learning_rate_init=1e30, n_ensemble=2).fit(X, X[:, 0])


def test_callbacks_follow_one_member_after_the_other(device: EmulatedDevice) -> None:
    epochs: list[int] = []
    MLPClassifier(**SMALL, n_ensemble=2, callbacks=lambda record: epochs.append(record.epoch)).fit(X, Y)
    assert epochs == [1, 2, 3, 4, 1, 2, 3, 4]


def test_ctrl_c_keeps_what_was_learnt(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    record = loop.Training.record

    def interrupted(training: Any, epoch: int, *rest: Any) -> Any:
        if epoch == 3:
            raise KeyboardInterrupt
        return record(training, epoch, *rest)

    monkeypatch.setattr(loop.Training, "record", interrupted)
    with pytest.warns(match="Training interrupted by user"):
        est = MLPClassifier(**SMALL, n_ensemble=2).fit(X, Y)
    assert [member.n_iter_ for member in est.estimators_] == [2, 2]


def test_ctrl_c_between_trainings_ends_a_search(device: EmulatedDevice) -> None:
    def press(est: Any, X: Any, y: Any) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SweepSearchCV(MLPClassifier(**SMALL), RATES, cv=3, scoring=press).fit(X, Y)
    for thread in threading.enumerate():
        if isinstance(thread, lockstep.Task):
            thread.join()
