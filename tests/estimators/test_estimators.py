"""The estimators, with scikit-learn's MLP as the oracle."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpunn
from gpunn import MLPClassifier, MLPRegressor

THEIRS = {MLPClassifier: neural_network.MLPClassifier, MLPRegressor: neural_network.MLPRegressor}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),  # older scikit-learn's
]


def numbers(m: int, n_out: int = 1) -> tuple[np.ndarray, np.ndarray]:
    X, y = classes(m)
    targets = np.sin(X[:, : max(2, n_out)]) + y[:, None]
    return X, targets[:, 0] if n_out == 1 else targets[:, :n_out]


PROBLEMS = {
    "binary": (MLPClassifier, *classes(120, 2)),
    "multi-class": (MLPClassifier, *classes(120)),
    "multi-label": (MLPClassifier, *make_multilabel_classification(120, 7, random_state=0)),
    "regression": (MLPRegressor, *numbers(120)),
    "multi-output": (MLPRegressor, *numbers(120, 3)),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"epsilon": 1e-14},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "plain sgd": {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.0},
    "classical momentum": {"solver": "sgd", "learning_rate_init": 0.02, "nesterovs_momentum": False},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.2},
    "invscaling, no momentum": {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.0},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 3},
    "adaptive, classical momentum": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "tol": 0.05,
        "nesterovs_momentum": False,
        "max_iter": 40,
    },
    "logistic, two layers": {"activation": "logistic", "hidden_layer_sizes": (6, 5), "epsilon": 1e-14},
    "no shuffling": {"shuffle": False, "epsilon": 1e-14},
    "early stopping": {"early_stopping": True, "solver": "sgd", "tol": 1e-3, "batch_size": 27},
}


def both(kind: Any, **parameters: Any) -> tuple[Any, Any]:
    """Ours and theirs with the same parameters."""
    given = {"hidden_layer_sizes": (9,), "random_state": 3, "max_iter": 12, "batch_size": 40, "alpha": 0.3}
    return kind(**given | parameters), THEIRS[kind](**given | parameters)


def fit(kind: Any, X: Any, y: Any, sample_weight: Any = None, **parameters: Any) -> tuple[Any, Any]:
    """Both, fitted on the same."""
    ours, theirs = both(kind, **parameters)
    for estimator in (ours, theirs):
        estimator.fit(X, y, sample_weight)
    return ours, theirs


def assert_alike(ours: Any, theirs: Any, X: np.ndarray, rtol: float = 1e-8) -> None:
    """The same network, to rounding, and the same tale of how it came about."""
    for mine, other in zip(
        [*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True
    ):
        assert mine.shape == other.shape and mine.dtype == other.dtype
        assert_allclose(mine, other, rtol=rtol, atol=rtol)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert_allclose(ours.predict(X), theirs.predict(X), rtol=rtol, atol=rtol)


class TestParity:
    """From the same seed in float64: the same steps."""

    @pytest.mark.parametrize("settings", SETTINGS)
    @pytest.mark.parametrize("problem", PROBLEMS)
    def test_the_same_network(self, problem: str, settings: str) -> None:
        kind, X, y = PROBLEMS[problem]
        ours, theirs = fit(kind, X, y, **SETTINGS[settings])
        assert_alike(ours, theirs, X)
        assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-2)
        for name in ("validation_scores_", "best_validation_score_"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert (mine is None) == (other is None)
            if other is not None:
                assert_allclose(mine, other, rtol=1e-9)

    @pytest.mark.parametrize("problem", ["binary", "multi-class", "multi-label", "regression"])
    def test_lbfgs(self, problem: str) -> None:
        kind, X, y = PROBLEMS[problem]
        ours, theirs = fit(kind, X, y, solver="lbfgs", max_iter=15)
        assert ours.n_iter_ == theirs.n_iter_ == len(ours.loss_curve_)
        assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
        for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
            assert_allclose(mine, other, atol=1e-5)

    @pytest.mark.parametrize("batch_size", [40, 120])
    def test_the_losses_of_one_step_an_epoch_are_exact(self, batch_size: int) -> None:
        ours, theirs = fit(MLPClassifier, *classes(batch_size), batch_size=batch_size, epsilon=1e-14)
        assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=1e-9)

    def test_poisson(self) -> None:
        X, y = numbers(80)
        ours, theirs = fit(MLPRegressor, X, np.floor(np.exp(y)), loss="poisson", batch_size=80)
        assert_alike(ours, theirs, X, rtol=1e-5)
        assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
        with pytest.raises(ValueError, match="poisson needs targets of 0 or more"):
            ours.fit(X, y - 5)

    @pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
    def test_sample_weights_of_a_full_batch(self, solver: str) -> None:
        X, y = classes(60)
        weights = np.random.default_rng(0).random(60) * 7
        ours, theirs = fit(MLPClassifier, X, y, weights, solver=solver, batch_size=60)
        assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-7)

    def test_partial_fit(self) -> None:
        X, y = classes(120)
        ours, theirs = both(MLPClassifier, solver="sgd", learning_rate="invscaling", learning_rate_init=0.5)
        for estimator in (ours, theirs):
            estimator.partial_fit(X[:40], y[:40], classes=[0, 1, 2])
            for _ in range(5):
                estimator.partial_fit(X[40:], np.minimum(y[40:], 1))
        assert_alike(ours, theirs, X)

    def test_float32_stays_float32(self) -> None:
        X, y = numbers(120)
        ours, theirs = fit(MLPRegressor, X.astype(np.float32), y, solver="sgd")
        assert_alike(ours, theirs, X.astype(np.float32), rtol=1e-3)
        assert ours.predict(X.astype(np.float32)).dtype == np.float32

    def test_every_parameter_of_theirs_with_its_default(self) -> None:
        for ours, theirs in THEIRS.items():
            assert theirs().get_params().items() <= ours().get_params().items()
        assert MLPRegressor("poisson", (3,), "tanh").get_params()["activation"] == "tanh"
        assert MLPClassifier((3,), "tanh").get_params()["activation"] == "tanh"


class TestLearning:
    """What scikit-learn's MLP does not have, or has otherwise."""

    def test_a_warm_start_keeps_the_optimizers_state(self) -> None:
        X, y = classes(80)
        given = {"random_state": 0, "shuffle": False, "n_iter_no_change": np.inf}
        whole = MLPClassifier(max_iter=7, **given).fit(X, y)
        parts = MLPClassifier(max_iter=3, warm_start=True, **given).fit(X, y)
        parts.set_params(max_iter=4).fit(X, y)
        assert_array_equal(whole.coefs_[0], parts.coefs_[0])
        assert_allclose(whole.loss_curve_, parts.loss_curve_, rtol=1e-12)
        assert parts.t_ == whole.t_ == 7 * 80 and parts.n_iter_ == 4
        with pytest.raises(ValueError, match="the network is 7-100-3: it cannot go on as"):
            parts.set_params(hidden_layer_sizes=(5,)).fit(X, y)

    @pytest.mark.parametrize(
        ("changes", "now"),
        [
            ({"activation": "tanh"}, "tanh"),
            ({"dropout": 0.5}, 0.5),
            ({"loss": "hinge"}, "hinge"),
        ],
    )
    def test_a_warm_start_takes_the_parameters_as_they_are(self, changes: dict[str, Any], now: Any) -> None:
        X, y = classes(60)
        est = MLPClassifier(warm_start=True, max_iter=1, random_state=0)
        with pytest.warns(ConvergenceWarning):
            theta = est.fit(X, y).network_.theta.copy()
        with pytest.warns(ConvergenceWarning):
            est.set_params(learning_rate_init=1e-300, **changes).fit(X, y)
        layer = est.network_.layers[0]
        assert now in (layer.f.name, layer.dropout, est.network_.cost.name)
        assert_array_equal(est.network_.theta, theta)

    def test_a_warm_start_cannot_take_up_other_weights(self) -> None:
        X, y = classes(60)
        est = MLPClassifier(warm_start=True, solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
        for changes in ({"batch_norm": True, "solver": "adam"}, {"hidden_layer_sizes": (5,)}):
            with pytest.raises(ValueError, match=r"it cannot go on as|cannot go on with another"):
                est.set_params(**changes).fit(X, y)

    def test_it_survives_a_pickle_and_goes_on_alike(self) -> None:
        X, y = classes(80)
        est = MLPClassifier(random_state=0, batch_norm=True, dropout=0.2)
        est.partial_fit(X, y, classes=[0, 1, 2])
        twins = [pickle.loads(pickle.dumps(est)), copy.deepcopy(est), est]
        for twin in twins:
            twin.partial_fit(X, y)
        for twin in twins:
            assert_array_equal(twin.predict_proba(X), est.predict_proba(X))
        assert not hasattr(clone(est), "coefs_")

    def test_partial_fit_with_early_stopping_and_several_labels(self) -> None:
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

    def test_own_validation_rows_and_scoring(self) -> None:
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

    def test_callbacks_see_every_epoch_and_may_end_it(self) -> None:
        X, y = classes(60)
        for solver in ("adam", "lbfgs"):
            records: list[gpunn.Record] = []
            enough = [records.append, lambda record: record.epoch == 4]
            est = MLPClassifier(solver=solver, callbacks=enough, random_state=0).fit(X, y)
            assert [record.epoch for record in records] == [1, 2, 3, 4]
            assert est.n_iter_ == 4 == len(est.loss_curve_)
            est.set_params(callbacks=enough[1]).fit(X, y)
            assert est.n_iter_ == 4

    def test_a_callback_may_end_it_though_the_rate_changes(self) -> None:
        X, y = classes(60)
        est = MLPClassifier(solver="sgd", learning_rate="invscaling", random_state=0)
        est.set_params(callbacks=lambda record: est.n_iter_ == 3).fit(X, y)
        assert est.n_iter_ == 3

    def test_class_weights(self) -> None:
        X, y = classes(300, 2)
        rare = np.flatnonzero((y == 0) | (np.arange(300) % 10 == 0))
        X, y = X[rare], np.array(["no", "yes"])[y[rare]]
        given = {"random_state": 0, "max_iter": 60}
        plain = MLPClassifier(**given).fit(X, y)
        balanced = MLPClassifier(class_weight="balanced", **given).fit(X, y)
        assert np.mean(balanced.predict(X) == "yes") > np.mean(plain.predict(X) == "yes")
        weights = len(y) / 2 / np.where(y == "yes", np.sum(y == "yes"), np.sum(y == "no"))
        assert_allclose(balanced.coefs_[0], MLPClassifier(**given).fit(X, y, weights).coefs_[0], rtol=1e-9)

    def test_layers_of_several_kinds(self) -> None:
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
    def test_losses_of_the_regressor(self, loss: str) -> None:
        X, y = numbers(200)
        est = MLPRegressor(loss=loss, random_state=0, learning_rate_init=0.01, max_iter=300).fit(X, y)
        above = np.mean(est.predict(X) > y)
        assert above > 0.75 if loss.startswith("quantile") else est.score(X, y) > 0.7

    def test_hinge(self) -> None:
        X, y = classes(100)
        est = MLPClassifier(loss="hinge", random_state=0).fit(X, y)
        assert est.score(X, y) > 0.8 and not hasattr(est, "predict_proba")
        assert_array_equal(est.decision_function(X).argmax(1), est.predict(X))
        with pytest.raises(ValueError, match="hinge needs class labels"):
            est.fit(X, np.eye(3, dtype=int)[y] | np.eye(3, dtype=int)[0])

    def test_float32_by_precision(self) -> None:
        X, y = classes(100)
        est = MLPClassifier(precision="float32", random_state=0, max_iter=5).fit(X, y)
        assert {c.dtype for c in est.coefs_} == {np.dtype("float32")} == {est.predict_proba(X).dtype}
        with pytest.raises(ValueError, match="precision must be one of"):
            MLPClassifier(precision="float16").fit(X, y)

    def test_divergence_keeps_the_best_or_says_so(self) -> None:
        X, y = numbers(60)
        given = {"solver": "sgd", "learning_rate_init": 1e3, "random_state": 0, "activation": "identity"}
        with pytest.raises(ValueError, match=r"Solver produced non-finite .* try a smaller learning rate"):
            MLPRegressor(**given).fit(X, y)
        with pytest.warns(ConvergenceWarning, match="diverged"):
            est = MLPRegressor(early_stopping=True, **given).fit(X, y)
        assert np.isnan(est.validation_scores_[-1]) and np.isfinite(est.predict(X)).all()

    def test_the_learning_rates_of_sgd(self) -> None:
        X, y = classes(40)
        given = {"solver": "sgd", "random_state": 0, "learning_rate_init": 0.1}
        est = MLPClassifier(learning_rate="adaptive", tol=0.5, max_iter=3000, **given).fit(X, y)
        assert est.learning_rate_ <= 1e-6 and est.n_iter_ < 3000
        est = MLPClassifier(learning_rate="invscaling", power_t=0.25, max_iter=2, **given).fit(X, y)
        assert est.learning_rate_ == pytest.approx(0.1 / 81**0.25)

    def test_what_it_says(self, capsys: pytest.CaptureFixture[str]) -> None:
        X, y = classes(60)
        MLPClassifier(verbose=True, early_stopping=True, n_iter_no_change=2, tol=1, random_state=0).fit(X, y)
        MLPClassifier(
            verbose=True, solver="sgd", learning_rate="adaptive", n_iter_no_change=2, tol=1, random_state=0
        ).fit(X, y)
        said = capsys.readouterr().out
        for words in ("Iteration 1, loss = ", "Validation score: ", "Stopping.", "Setting learning rate to"):
            assert words in said


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"solver": "sdg"}, "MLPClassifier: solver must be one of adam, sgd, lbfgs, not 'sdg'"),
    ({"alpha": -1}, "alpha must be a number of 0 or more, not -1"),
    ({"batch_size": 0}, "batch_size must be 'auto' or a whole number of at least 1, not 0"),
    ({"max_iter": 2.5}, "max_iter must be a whole number of at least 1, not 2.5"),
    ({"momentum": 1.0, "solver": "sgd"}, r"momentum must be a number in \[0, 1\), not 1.0"),
    ({"shuffle": 1}, "shuffle must be True or False, not 1"),
    ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number of at least 1 or inf, not 0"),
    ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes must be > 0, got \[5, 0\]"),
    ({"hidden_layer_sizes": (3.5,)}, r"hidden_layer_sizes must be whole numbers, got \[3.5\]"),
    ({"activation": None}, "activation must be a name, an Activation, a pair"),
    ({"callbacks": [3]}, r"callbacks must be a function, or several, not \[3\]"),
    ({"class_weight": {0: -5}}, "class_weight must be 'balanced' or weights of 0 or more, not {0: -5}"),
    ({"activation": "rely"}, "unknown activation 'rely': did you mean 'relu'"),
    ({"loss": "log-los"}, "unknown cost 'log-los'"),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ({"solver": "lbfgs", "dropout": 0.5}, "lbfgs needs a cost that stays the same"),
    ({"device": "gpu"}, "unknown device 'gpu'"),
]


@pytest.mark.parametrize(("parameters", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_bad_parameters_get_one_line(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        MLPClassifier(**parameters).fit(*classes(20))
    assert "\n" not in str(raised.value)


def test_bad_data_gets_one_line() -> None:
    with pytest.raises(ValueError, match=r"sample_weight\[0\] is -1.0: weights must be 0 or more"):
        MLPClassifier().fit(*classes(20), sample_weight=-np.ones(20))
    X, y = classes(20)
    with pytest.raises(ValueError, match="leave every example a weight of zero"):
        MLPClassifier().fit(X, y, np.zeros(20))
    with pytest.raises(ValueError, match=r"sample_weight must be \(20,\), not \(3,\)"):
        MLPClassifier().fit(X, y, [1, 2, 3])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="The validation set is too small"):
        MLPRegressor(early_stopping=True).fit(X[:2], y[:2])
    with pytest.raises(ValueError, match="more than two classes"):
        MLPClassifier().fit(X, np.stack([y, y], 1))
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPClassifier(solver="lbfgs").partial_fit(X, y)


class TestData:
    """Labels and containers of all kinds."""

    @pytest.mark.parametrize(
        "names", [["b", "a", "c"], [2.0, -1.0, 7.0], [10**12, 5, -3], [True, False, True]]
    )
    def test_any_labels(self, names: list[Any]) -> None:
        X, y = classes(90)
        labels = np.array(names)[y]
        est = MLPClassifier(random_state=0, learning_rate_init=0.01, max_iter=50).fit(X, labels)
        assert set(est.classes_) == set(labels) and est.predict(X).dtype == labels.dtype
        assert accuracy_score(labels, est.predict(X)) > 0.7

    def test_one_class_only(self) -> None:
        X, _ = classes(30)
        est = MLPClassifier(max_iter=3).fit(X, ["all"] * 30)
        assert set(est.predict(X)) == {"all"} and est.predict_proba(X).shape == (30, 1)

    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_sparse_rows_are_the_same_as_dense_ones(self, solver: str) -> None:
        X, y = classes(300)
        X[np.abs(X) < 1] = 0
        given = {"random_state": 0, "max_iter": 4, "solver": solver, "early_stopping": True}
        whole = MLPClassifier(**given).fit(X, y)
        for kind in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
            est = MLPClassifier(**given).fit(kind(X), y)
            assert_allclose(est.coefs_[0], whole.coefs_[0], rtol=1e-7)
            assert_allclose(est.predict_proba(kind(X)), whole.predict_proba(X), rtol=1e-7)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
    def test_sparse_rows_are_never_all_dense_at_once(self) -> None:
        code = """
import numpy as np
from scipy import sparse
from gpunn import MLPClassifier
def megabytes(field):
    return int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1]) / 1024
X = sparse.random_array((4000, 20_000), density=1e-3, format="csr", rng=np.random.default_rng(0))
MLPClassifier((4,), max_iter=1, batch_size=100).fit(X[:200], np.arange(200) % 2)
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before = megabytes("VmRSS")
MLPClassifier((4,), max_iter=2, batch_size=100).fit(X, np.arange(4000) % 2).predict(X)
print(megabytes("VmHWM") - before)
"""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
        )
        assert float(done.stdout) < 400  # MB; dense it would be 640 by itself

    def test_bytes_are_numbers_here(self) -> None:
        X, y = classes(60)
        X = (40 * X + 128).clip(0, 255).astype(np.uint8)
        given = {"random_state": 0, "max_iter": 5}
        bytes_, floats = MLPClassifier(**given).fit(X, y), MLPClassifier(**given).fit(X.astype(float), y)
        assert_array_equal(bytes_.coefs_[0], floats.coefs_[0])


def test_digits_and_diabetes() -> None:
    X, y = load_digits(return_X_y=True)
    est = MLPClassifier(random_state=0, max_iter=40).fit(X[:1300] / 16, y[:1300])
    assert est.score(X[1300:] / 16, y[1300:]) > 0.9
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(
        StandardScaler(), MLPRegressor(random_state=0, learning_rate_init=0.01, alpha=10)
    ).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.3
