"""Use the estimators with scikit-learn's checks and tools, data frames and clusters."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gpunn
from gpunn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]

QUICK = {"learning_rate_init": 0.01, "max_iter": 40}  # learns as much in fewer epochs
VARIANTS = [
    MLPClassifier(**QUICK),
    MLPRegressor(**QUICK),
    MLPClassifier(solver="sgd", learning_rate_init=0.1, max_iter=40),
    MLPRegressor(solver="sgd", max_iter=100),
    MLPClassifier(solver="lbfgs", alpha=0.1, max_iter=50),
    MLPRegressor(solver="lbfgs", max_iter=50),
    MLPClassifier(hidden_layer_sizes=(20, 10), activation=("gelu", "tanh"), loss="squared_error", **QUICK),
    MLPRegressor(loss="huber", activation="leaky relu", **QUICK),
]
CHECKS = parametrize_with_checks(VARIANTS).mark  # a generator in some versions, which pytest warns about


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library: str) -> None:
    frames = pytest.importorskip(library)
    X, y = classes(60)
    table = frames.DataFrame({f"x{j}": X[:, j] for j in range(7)})
    if not hasattr(StandardScaler().fit(table), "feature_names_in_"):
        pytest.skip(f"this scikit-learn ignores the column names of {library}")
    est = MLPClassifier(random_state=0, max_iter=5, early_stopping=True)
    est.fit(table, frames.Series(["abc"[label] for label in y]))
    assert list(est.feature_names_in_) == [f"x{j}" for j in range(7)]
    assert_array_equal(est.predict(table), est.classes_[est.predict_proba(table).argmax(1)])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_array_equal(est.predict(X), est.predict(table))
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(table[[f"x{j}" for j in range(6, -1, -1)]])


def test_pipeline_search_and_cross_validation() -> None:
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, solver="lbfgs", max_iter=50))
    grid = {"mlpclassifier__hidden_layer_sizes": [(3,), (20,)], "mlpclassifier__alpha": [1e-4, 1.0]}
    search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.85
    assert accuracy_score(y, cross_val_predict(search.best_estimator_, X, y, cv=3)) > 0.85


def test_ensembles() -> None:
    X, y = load_iris(return_X_y=True)
    mlp = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, solver="lbfgs", max_iter=80))
    calibrated = CalibratedClassifierCV(mlp, cv=3).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(1), 1)
    both = [("mlp", mlp), ("logistic", LogisticRegression(max_iter=1000))]
    assert VotingClassifier(both, voting="soft").fit(X, y).score(X, y) > 0.9


def test_set_output_passes_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = classes(60)
    table = pandas.DataFrame(X, columns=list("abcdefg"))
    pipe = make_pipeline(StandardScaler(), MLPClassifier(max_iter=3)).set_output(transform="pandas")
    assert list(pipe.fit(table, y)[-1].feature_names_in_) == list("abcdefg")


def test_metadata_is_routed() -> None:
    from sklearn import config_context
    from sklearn.model_selection import cross_validate

    X, y = classes(90)
    weights = np.where(y == 0, 0.0, 1.0)
    with config_context(enable_metadata_routing=True):
        est = MLPClassifier(random_state=0, max_iter=60).set_fit_request(sample_weight=True)
        est.set_score_request(sample_weight=False)
        found = cross_validate(est, X, y, cv=3, params={"sample_weight": weights}, return_estimator=True)
    assert all((fold.predict(X) != 0).all() for fold in found["estimator"])


@pytest.mark.parametrize("backend", ["threading", "loky", "dask"])
def test_grid_search_in_parallel(backend: str) -> None:
    import joblib

    X, y = classes(90)
    search = GridSearchCV(MLPClassifier(random_state=0, max_iter=10), {"alpha": [0.1, 1.0]}, cv=2)
    alone = search.fit(X, y).cv_results_["mean_test_score"]
    if backend == "dask":
        distributed = pytest.importorskip("dask.distributed")
        dask = pytest.importorskip("dask")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dask.config.set({f"distributed.comm.timeouts.{what}": "30m" for what in ("connect", "tcp")})
            cluster = distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
            )
            with cluster, distributed.Client(cluster), joblib.parallel_backend("dask"):
                search.fit(X, y)
    else:
        with joblib.parallel_backend(backend, n_jobs=2):
            search.fit(X, y)
    assert_array_equal(search.cv_results_["mean_test_score"], alone)


def test_gpunn_alone_does_not_import_scikit_learn() -> None:
    before, after = "assert 'sklearn' not in sys.modules", "assert 'sklearn' in sys.modules"
    code = f"import sys, gpunn; {before}; gpunn.MLPClassifier; {after}"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="gpunn attribute MLPClasifier"):
        gpunn.MLPClasifier  # noqa: B018
