"""Compare the estimators with scikit-learn's MLPs, started from the same seed in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import classes, numbers
from numpy.testing import assert_allclose
from sklearn import neural_network
from sklearn.datasets import make_multilabel_classification

from gpunn import MLPClassifier, MLPRegressor

THEIRS = {MLPClassifier: neural_network.MLPClassifier, MLPRegressor: neural_network.MLPRegressor}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]

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
CASES = [(problem, settings) for problem in PROBLEMS for settings in SETTINGS]
CASES.remove(("multi-class", "early stopping"))  # scikit-learn stratifies two classes, gpunn any number


def both(kind: Any, **parameters: Any) -> tuple[Any, Any]:
    """Make both estimators with the same parameters."""
    given = {"hidden_layer_sizes": (9,), "random_state": 3, "max_iter": 12, "batch_size": 40, "alpha": 0.3}
    return kind(**given | parameters), THEIRS[kind](**given | parameters)


def fit(kind: Any, X: Any, y: Any, sample_weight: Any = None, **parameters: Any) -> tuple[Any, Any]:
    """Fit both estimators to the same data."""
    ours, theirs = both(kind, **parameters)
    for estimator in (ours, theirs):
        estimator.fit(X, y, sample_weight)
    return ours, theirs


def assert_alike(ours: Any, theirs: Any, X: np.ndarray, rtol: float = 1e-8) -> None:
    """Compare the networks, to rounding, and the attributes that describe their training."""
    for mine, other in zip(
        [*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True
    ):
        assert mine.shape == other.shape and mine.dtype == other.dtype
        assert_allclose(mine, other, rtol=rtol, atol=rtol)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert_allclose(ours.predict(X), theirs.predict(X), rtol=rtol, atol=rtol)


class TestAgainstScikitLearn:
    """Both estimators take the same steps."""

    @pytest.mark.parametrize(("problem", "settings"), CASES)
    def test_networks_match(self, problem: str, settings: str) -> None:
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
    def test_losses_are_exact_with_one_step_per_epoch(self, batch_size: int) -> None:
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
    def test_sample_weights_in_a_full_batch(self, solver: str) -> None:
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

    def test_parameters_and_defaults_match(self) -> None:
        for ours, theirs in THEIRS.items():
            assert theirs().get_params().items() <= ours().get_params().items()
        assert MLPRegressor("poisson", (3,), "tanh").get_params()["activation"] == "tanh"
        assert MLPClassifier((3,), "tanh").get_params()["activation"] == "tanh"
