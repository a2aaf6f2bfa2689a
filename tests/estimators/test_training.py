"""Features that scikit-learn's MLPs lack, stopping and printed messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import classes, numbers
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

import gpunn
from gpunn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]


def test_own_validation_rows_and_scoring() -> None:
    X, y = classes(200)
    est = MLPClassifier(early_stopping=True, scoring="neg_log_loss", random_state=0, max_iter=60)
    est.fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    assert est.t_ == 150 * est.n_iter_
    proba = est.predict_proba(X[150:])
    log_loss = -np.mean(np.log(proba[np.arange(50), y[150:]]))
    assert_allclose(-est.best_validation_score_, log_loss, rtol=1e-6)
    assert est.best_loss_ is None

    watched = MLPClassifier(random_state=0, max_iter=5).fit(X, y, X_val=X[:20], y_val=y[:20])
    assert len(watched.validation_scores_) == 5 and watched.best_validation_score_ is None
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        watched.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match=r"classes that are not in `classes_`: \[9\]"):
        watched.fit(X, y, X_val=X[:1], y_val=[9])


def test_callbacks_see_every_epoch_and_can_end_training() -> None:
    X, y = classes(60)
    for solver in ("adam", "lbfgs"):
        records: list[gpunn.Record] = []
        enough = [records.append, lambda record: record.epoch == 4]
        est = MLPClassifier(solver=solver, callbacks=enough, random_state=0).fit(X, y)
        assert [record.epoch for record in records] == [1, 2, 3, 4]
        assert est.n_iter_ == 4 == len(est.loss_curve_)
        est.set_params(callbacks=enough[1]).fit(X, y)
        assert est.n_iter_ == 4


def test_a_callback_can_end_training_while_the_rate_changes() -> None:
    X, y = classes(60)
    est = MLPClassifier(solver="sgd", learning_rate="invscaling", random_state=0)
    est.set_params(callbacks=lambda record: est.n_iter_ == 3).fit(X, y)
    assert est.n_iter_ == 3


def test_class_weights() -> None:
    X, y = classes(300, 2)
    rare = np.flatnonzero((y == 0) | (np.arange(300) % 10 == 0))
    X, y = X[rare], np.array(["no", "yes"])[y[rare]]
    given = {"random_state": 0, "max_iter": 60}
    plain = MLPClassifier(**given).fit(X, y)
    balanced = MLPClassifier(class_weight="balanced", **given).fit(X, y)
    assert np.mean(balanced.predict(X) == "yes") > np.mean(plain.predict(X) == "yes")
    weights = len(y) / 2 / np.where(y == "yes", np.sum(y == "yes"), np.sum(y == "no"))
    assert_allclose(balanced.coefs_[0], MLPClassifier(**given).fit(X, y, weights).coefs_[0], rtol=1e-9)


def test_each_layer_has_its_own_activation_and_dropout() -> None:
    X, y = numbers(200)
    est = MLPRegressor(
        hidden_layer_sizes=(20, 10), activation=["gelu", "logistic"], dropout=[0.0, 0.1], batch_norm=True,
        learning_rate_init=0.01, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert [layer.f.name for layer in est.network_.layers] == ["gelu", "sigmoid", "identity"]
    assert est.network_.dropout == (0.0, 0.0, 0.1)
    assert est.score(X, y) > 0.7
    with pytest.raises(ValueError, match="activation has 1 entries for 2 hidden layers"):
        est.set_params(activation=["tanh"]).fit(X, y)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "huber(0.3)", "quantile(0.9)"])
def test_regression_losses(loss: str) -> None:
    X, y = numbers(200)
    est = MLPRegressor(loss=loss, random_state=0, learning_rate_init=0.01, max_iter=300).fit(X, y)
    above = np.mean(est.predict(X) > y)
    assert above > 0.75 if loss.startswith("quantile") else est.score(X, y) > 0.7


def test_hinge() -> None:
    X, y = classes(100)
    est = MLPClassifier(loss="hinge", random_state=0).fit(X, y)
    assert est.score(X, y) > 0.8 and not hasattr(est, "predict_proba")
    assert_array_equal(est.decision_function(X).argmax(1), est.predict(X))
    with pytest.raises(ValueError, match="hinge needs class labels"):
        est.fit(X, np.eye(3, dtype=int)[y] | np.eye(3, dtype=int)[0])


def test_precision_float32() -> None:
    X, y = classes(100)
    est = MLPClassifier(precision="float32", random_state=0, max_iter=5).fit(X, y)
    assert {c.dtype for c in est.coefs_} == {np.dtype("float32")} == {est.predict_proba(X).dtype}
    with pytest.raises(ValueError, match="precision must be one of"):
        MLPClassifier(precision="float16").fit(X, y)


def test_divergence_raises_or_keeps_the_best_weights() -> None:
    X, y = numbers(60)
    given = {"solver": "sgd", "learning_rate_init": 1e3, "random_state": 0, "activation": "identity"}
    with pytest.raises(ValueError, match=r"Solver produced non-finite .* try a smaller learning rate"):
        MLPRegressor(**given).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        est = MLPRegressor(early_stopping=True, **given).fit(X, y)
    assert np.isnan(est.validation_scores_[-1]) and np.isfinite(est.predict(X)).all()


def test_learning_rate_schedules_of_sgd() -> None:
    X, y = classes(40)
    given = {"solver": "sgd", "random_state": 0, "learning_rate_init": 0.1}
    est = MLPClassifier(learning_rate="adaptive", tol=0.5, max_iter=3000, **given).fit(X, y)
    assert est.learning_rate_ <= 1e-6 and est.n_iter_ < 3000
    est = MLPClassifier(learning_rate="invscaling", power_t=0.25, max_iter=2, **given).fit(X, y)
    assert est.learning_rate_ == pytest.approx(0.1 / 81**0.25)


def test_verbose_output(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = classes(60)
    MLPClassifier(verbose=True, early_stopping=True, n_iter_no_change=2, tol=1, random_state=0).fit(X, y)
    MLPClassifier(
        verbose=True, solver="sgd", learning_rate="adaptive", n_iter_no_change=2, tol=1, random_state=0
    ).fit(X, y)
    printed = capsys.readouterr().out
    for words in ("Iteration 1, loss = ", "Validation score: ", "Stopping.", "Setting learning rate to"):
        assert words in printed


def test_divergence_in_partial_fit_keeps_the_best_weights() -> None:
    X, y = numbers(60)
    given = {"solver": "sgd", "learning_rate_init": 1e150, "random_state": 0, "activation": "identity"}
    est = MLPRegressor(early_stopping=True, batch_size=10, **given)
    with pytest.warns(ConvergenceWarning, match="best weights before that are kept"):
        est.partial_fit(X, y)
    assert np.isfinite(est.coefs_[0]).all()


@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"learning_rate_init": 1e300}])
def test_warnings_point_to_the_caller(parameters: dict[str, Any]) -> None:
    with pytest.warns(ConvergenceWarning) as caught:
        MLPClassifier(max_iter=1, early_stopping=True, random_state=0, **parameters).fit(*classes(60))
    assert {warning.filename for warning in caught} == {__file__}


def test_scorers_get_an_estimator_of_the_callers_class() -> None:
    class Constant(MLPClassifier):
        def predict(self, X: Any) -> np.ndarray:
            return np.zeros(len(X), dtype=int)

    seen = []

    def scoring(est: Any, X: np.ndarray, y: np.ndarray) -> float:
        seen.append(est)
        assert_allclose(est.predict_proba(None), est.predict_proba(X))  # X is not used
        return float(np.mean(est.predict(X) == y))

    X, y = classes(60)
    est = Constant(scoring=scoring, max_iter=2, random_state=0, callbacks=lambda record: None)
    est.fit(X, y, X_val=X, y_val=y)
    assert est.validation_scores_ == [np.mean(y == 0)] * 2
    assert all(isinstance(judged, Constant) and judged is not est for judged in seen)
    assert type(est) is Constant and not np.allclose(est.predict_proba(X[:30]), est.predict_proba(X[30:]))
