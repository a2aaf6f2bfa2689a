"""Early stopping: which rows are held out, how they are scored, and what is reported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import classes, numbers
from numpy.testing import assert_allclose

import gpunn
from gpunn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]
GIVEN: dict[str, Any] = {"hidden_layer_sizes": (4,), "early_stopping": True, "max_iter": 3}


def with_a_rare_class(rare: int) -> tuple[np.ndarray, np.ndarray]:
    """Make 200 rows of three classes, of which class 2 has only a few."""
    X = np.random.default_rng(0).standard_normal((200, 4))
    return X, np.repeat([0, 1, 2], [100, 100 - rare, rare])


def held_out_labels(est: MLPClassifier, X: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Fit the estimator and return the labels that it was scored on, epoch by epoch."""
    seen: list[np.ndarray] = []

    def score(est: Any, X: np.ndarray, y: np.ndarray) -> float:
        seen.append(y)
        return 0.0

    est.set_params(scoring=score).fit(X, y)
    return seen


@pytest.mark.parametrize("rare", [1, 2, 5])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "top_k_accuracy", "f1_macro", "roc_auc_ovr"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_held_out_class_may_be_missing(scoring: str, rare: int) -> None:
    X, y = with_a_rare_class(rare)
    for seed in range(5):
        est = MLPClassifier(**GIVEN, scoring=scoring, random_state=seed).fit(X, y)
        assert len(est.validation_scores_) == est.n_iter_ == 3
    est.fit(X, y, X_val=X[:150], y_val=y[:150])
    assert len(est.validation_scores_) == 3


def test_log_loss_counts_all_classes() -> None:
    X, y = with_a_rare_class(5)
    est = MLPClassifier(**GIVEN, scoring="neg_log_loss", random_state=0)
    est.fit(X, y, X_val=X[:150], y_val=y[:150])
    p = est.predict_proba(X[:150])[np.arange(150), y[:150]]
    assert_allclose(est.best_validation_score_, np.mean(np.log(p)), rtol=1e-6)


@pytest.mark.parametrize("names", [[0, 1], ["no", "yes"], [0, 1, 2], ["a", "b", "c"]])
def test_held_out_rows_have_the_shares_of_the_classes(names: list[Any]) -> None:
    X, y = classes(200, len(names))
    y[:20] = 0
    labels = np.array(names)[np.sort(y)]
    found = held_out_labels(MLPClassifier(**GIVEN, random_state=0), X, labels)[0]
    for name in names:
        assert abs(np.sum(found == name) - np.sum(labels == name) / 10) < 1


@pytest.mark.parametrize("kinds", [2, 3])
def test_a_class_of_one_row_is_not_stratified(kinds: int) -> None:
    X, y = classes(100, kinds)
    y[y == kinds - 1] = 0
    y[0] = kinds - 1
    assert len(held_out_labels(MLPClassifier(**GIVEN, random_state=0), X, y)[0]) == 10


def test_more_classes_than_held_out_rows() -> None:
    X, _ = numbers(60)
    assert len(held_out_labels(MLPClassifier(**GIVEN, random_state=0), X, np.arange(60) % 20)[0]) == 6


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_best_loss_or_score_is_finite_or_none(kind: Any, solver: str, early_stopping: bool) -> None:
    X, y = classes(100)
    est = kind(solver=solver, early_stopping=early_stopping, max_iter=5, random_state=0).fit(X, y)
    if early_stopping and solver != "lbfgs":
        assert est.best_loss_ is None and est.best_validation_score_ == max(est.validation_scores_)
    else:
        assert est.best_loss_ == min(est.loss_curve_) and math.isfinite(est.best_loss_)
        assert est.best_validation_score_ is None and est.validation_scores_ is None


def test_a_custom_scorer_is_left_alone() -> None:
    X, y = classes(60)
    est = MLPClassifier(**GIVEN, scoring=gpunn_scorer, random_state=0).fit(X, y)
    assert est.validation_scores_ == [0.5] * 3


def gpunn_scorer(est: gpunn.MLPClassifier, X: np.ndarray, y: np.ndarray) -> float:
    """Score 0.5, whatever the estimator predicts."""
    return 0.5
