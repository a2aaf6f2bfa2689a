"""Continue training: warm starts, `partial_fit` and pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning

from gpunn import MLPClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]


def test_a_warm_start_keeps_the_optimizer_state() -> None:
    X, y = classes(80)
    given = {"random_state": 0, "shuffle": False, "n_iter_no_change": np.inf}
    whole = MLPClassifier(max_iter=7, **given).fit(X, y)
    parts = MLPClassifier(max_iter=3, warm_start=True, **given).fit(X, y)
    parts.set_params(max_iter=4).fit(X, y)
    assert_array_equal(whole.coefs_[0], parts.coefs_[0])
    assert_allclose(whole.loss_curve_, parts.loss_curve_, rtol=1e-12)
    assert parts.t_ == whole.t_ == 7 * 80 and parts.n_iter_ == 4
    with pytest.raises(ValueError, match="cannot continue training a 7-100-3 network as 7-5-3"):
        parts.set_params(hidden_layer_sizes=(5,)).fit(X, y)


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({"activation": "tanh"}, "tanh"),
        ({"dropout": 0.5}, 0.5),
        ({"loss": "hinge"}, "hinge"),
    ],
)
def test_a_warm_start_uses_the_current_parameters(changes: dict[str, Any], now: Any) -> None:
    X, y = classes(60)
    est = MLPClassifier(warm_start=True, max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning):
        theta = est.fit(X, y).network_.theta.copy()
    with pytest.warns(ConvergenceWarning):
        est.set_params(learning_rate_init=1e-300, **changes).fit(X, y)
    layer = est.network_.layers[0]
    assert now in (layer.f.name, layer.dropout, est.network_.cost.name)
    assert_array_equal(est.network_.theta, theta)


def test_a_warm_start_refuses_weights_of_another_shape() -> None:
    X, y = classes(60)
    est = MLPClassifier(warm_start=True, solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    for changes in ({"batch_norm": True, "solver": "adam"}, {"hidden_layer_sizes": (5,)}):
        with pytest.raises(ValueError, match="cannot continue training"):
            est.set_params(**changes).fit(X, y)


def test_a_pickled_or_copied_estimator_continues_identically() -> None:
    X, y = classes(80)
    est = MLPClassifier(random_state=0, batch_norm=True, dropout=0.2)
    est.partial_fit(X, y, classes=[0, 1, 2])
    twins = [pickle.loads(pickle.dumps(est)), copy.deepcopy(est), est]
    for twin in twins:
        twin.partial_fit(X, y)
    for twin in twins:
        assert_array_equal(twin.predict_proba(X), est.predict_proba(X))
    assert not hasattr(clone(est), "coefs_")


def test_partial_fit_with_early_stopping_and_several_labels() -> None:
    X, Y = make_multilabel_classification(200, random_state=0)
    est = MLPClassifier(early_stopping=True, random_state=0, learning_rate_init=0.01)
    for _ in range(30):
        est.partial_fit(X, Y, classes=range(5))
    assert len(est.validation_scores_) == 30
    assert est.best_validation_score_ == max(est.validation_scores_) > est.validation_scores_[0]
    before = est.coefs_[0].copy()
    est.partial_fit(X, Y, X_val=X[:50], y_val=Y[:50])
    assert est.validation_scores_[-1] == est.score(X[:50], Y[:50])
    assert not np.array_equal(before, est.coefs_[0])
