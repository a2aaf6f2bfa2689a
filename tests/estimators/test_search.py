"""Search parameters by cross-validation: `SweepSearchCV` beside scikit-learn's searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import classes
from joblib.parallel import get_active_backend
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpunn import MLPClassifier, MLPRegressor, SweepSearchCV, backends
from gpunn.estimators import search

GRID = {"alpha": [1e-4, 1.0], "learning_rate_init": [0.001, 0.05]}

SMALL: dict[str, Any] = {"hidden_layer_sizes": (4,), "solver": "lbfgs", "max_iter": 15, "random_state": 0}
SEARCHES = [
    SweepSearchCV(MLPClassifier(**SMALL), {"alpha": [0.1, 1.0]}, cv=2, n_jobs=1, error_score="raise"),
]
CHECKS = parametrize_with_checks(SEARCHES).mark

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_scikit_learn_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def same_results(ours: Any, theirs: Any) -> None:
    """Assert that two searches have the same candidates, splits, scores and choice."""
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    for name, column in theirs.cv_results_.items():
        if name.endswith("_score") and "rank" not in name:
            assert_allclose(ours.cv_results_[name], column, rtol=1e-9)
        elif not name.endswith("_time"):
            assert_array_equal(ours.cv_results_[name], column)
    assert ours.best_params_ == theirs.best_params_
    assert ours.n_splits_ == theirs.n_splits_


def test_a_grid_scores_as_scikit_learns_search_does() -> None:
    X, y = classes(60)
    mlp = MLPClassifier((5,), max_iter=4, random_state=0, device="cpu")
    how = {"cv": 3, "return_train_score": True, "scoring": ["accuracy", "neg_log_loss"]}
    theirs = GridSearchCV(mlp, GRID, refit="neg_log_loss", **how).fit(X, y)
    same_results(SweepSearchCV(mlp, GRID, refit="neg_log_loss", **how).fit(X, y), theirs)


def test_a_random_search_draws_the_same_candidates() -> None:
    X, y = classes(60)
    mlp = MLPClassifier((5,), max_iter=4, random_state=0, device="cpu")
    drawn = {"alpha": loguniform(1e-5, 1), "batch_size": [5, 20]}
    theirs = RandomizedSearchCV(mlp, drawn, n_iter=4, cv=2, random_state=3).fit(X, y)
    same_results(SweepSearchCV(mlp, drawn, n_iter=4, cv=2, random_state=3, n_jobs=1).fit(X, y), theirs)


def test_inside_and_around_a_pipeline() -> None:
    X, y = load_iris(return_X_y=True)
    mlp = MLPClassifier((6,), solver="lbfgs", max_iter=60, random_state=0)
    inside = make_pipeline(StandardScaler(), SweepSearchCV(mlp, {"alpha": [0.01, 100.0]}, cv=3, n_jobs=1))
    assert inside.fit(X, y).score(X, y) > 0.9
    grid = {"mlpclassifier__alpha": [0.01, 100.0]}
    around = SweepSearchCV(make_pipeline(StandardScaler(), mlp), grid, cv=3, n_jobs=1)
    assert cross_val_score(around, X, y, cv=3).mean() > 0.9
    assert around.fit(X, y).best_params_ == {"mlpclassifier__alpha": 0.01}


def test_a_parameter_that_does_not_exist() -> None:
    X, y = classes(20)
    with pytest.raises(ValueError, match="Invalid parameter 'alfa'"):
        SweepSearchCV(MLPClassifier(), {"alfa": [1]}, cv=2, n_jobs=1).fit(X, y)


def test_a_distribution_needs_a_number_of_draws() -> None:
    X, y = classes(20)
    with pytest.raises(ValueError, match="alpha is a distribution: pass n_iter"):
        SweepSearchCV(MLPClassifier(), [{"alpha": loguniform(1e-5, 1)}], cv=2, n_jobs=1).fit(X, y)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_a_candidate_that_diverges_costs_the_others_nothing() -> None:
    X, _ = classes(40)
    mlp = MLPRegressor(hidden_layer_sizes=(5,), solver="sgd", max_iter=30, random_state=0, device="cpu")
    found = SweepSearchCV(mlp, {"learning_rate_init": [0.001, 1e6]}, cv=2, n_jobs=1)
    with pytest.warns(match="2 fits failed out of a total of 4"):
        found.fit(X, np.arange(40.0))
    assert np.isfinite(found.best_score_)
    assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), [False, True])


@pytest.mark.parametrize("device", ["cuda", "cpu", "nonsense"])
def test_the_device_decides_where_candidates_are_trained(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = backends.choose

    def choose(name: str, dtype: Any) -> Any:
        return type("Backend", (), {"name": "cuda"}) if name == "cuda" else real(name, dtype)

    monkeypatch.setattr(backends, "choose", choose)
    found = SweepSearchCV(make_pipeline(MLPClassifier(device=device)), {}, n_jobs=1)
    with search.workers(found, np.eye(2)):
        backend, _ = get_active_backend()
    assert (type(backend).__name__ == "Lockstep") == (device == "cuda")
