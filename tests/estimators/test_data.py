"""Labels and containers of all kinds, and the errors for bad parameters and data."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpunn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn pass a deprecated option to SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),
]


@pytest.mark.parametrize("names", [["b", "a", "c"], [2.0, -1.0, 7.0], [10**12, 5, -3], [True, False, True]])
def test_any_labels(names: list[Any]) -> None:
    X, y = classes(90)
    labels = np.array(names)[y]
    est = MLPClassifier(random_state=0, learning_rate_init=0.01, max_iter=50).fit(X, labels)
    assert set(est.classes_) == set(labels) and est.predict(X).dtype == labels.dtype
    assert accuracy_score(labels, est.predict(X)) > 0.7


def test_one_class_only() -> None:
    X, _ = classes(30)
    est = MLPClassifier(max_iter=3).fit(X, ["all"] * 30)
    assert set(est.predict(X)) == {"all"} and est.predict_proba(X).shape == (30, 1)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_equal_dense_rows(solver: str) -> None:
    X, y = classes(300)
    X[np.abs(X) < 1] = 0
    given = {"random_state": 0, "max_iter": 4, "solver": solver, "early_stopping": True}
    whole = MLPClassifier(**given).fit(X, y)
    for kind in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        est = MLPClassifier(**given).fit(kind(X), y)
        assert_allclose(est.coefs_[0], whole.coefs_[0], rtol=1e-7)
        assert_allclose(est.predict_proba(kind(X)), whole.predict_proba(X), rtol=1e-7)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_sparse_rows_stay_sparse_in_memory() -> None:
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
    assert float(done.stdout) < 400  # MB; X alone would take 640 if dense


def test_bytes_are_not_scaled() -> None:
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


BAD_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"solver": "sdg"}, "MLPClassifier: solver must be one of adam, sgd, lbfgs, not 'sdg'"),
    ({"alpha": -1}, "alpha must be a non-negative number, not -1"),
    ({"batch_size": 0}, "batch_size must be 'auto' or a positive integer, not 0"),
    ({"max_iter": 2.5}, "max_iter must be a positive integer, not 2.5"),
    ({"momentum": 1.1, "solver": "sgd"}, r"momentum must be a number in \[0, 1\], not 1.1"),
    ({"shuffle": 1}, "shuffle must be True or False, not 1"),
    ({"n_iter_no_change": 0}, "n_iter_no_change must be a positive integer or inf, not 0"),
    ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes must be > 0, got \[5, 0\]"),
    ({"hidden_layer_sizes": True}, r"hidden_layer_sizes must be integers, got \[True\]"),
    ({"hidden_layer_sizes": (3.5,)}, r"hidden_layer_sizes must be integers, got \[3.5\]"),
    ({"activation": None}, "activation must be a name, an Activation, a pair"),
    ({"callbacks": [3]}, r"callbacks must be a function or a list of functions, not \[3\]"),
    ({"class_weight": {0: -5}}, "class_weight must be 'balanced' or non-negative weights, not {0: -5}"),
    ({"activation": "rely"}, "unknown activation 'rely': did you mean 'relu'"),
    ({"loss": "log-los"}, "unknown cost 'log-los'"),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ({"solver": "lbfgs", "dropout": 0.5}, "solver 'lbfgs' needs a deterministic cost"),
    ({"device": "gpu"}, "unknown device 'gpu'"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS, ids=lambda value: str(value)[:40])
def test_a_bad_parameter_raises_a_one_line_error(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        MLPClassifier(**parameters).fit(*classes(20))
    assert "\n" not in str(raised.value)


def test_bad_data_raises_value_error() -> None:
    with pytest.raises(ValueError, match=r"sample_weight\[0\] is -1.0: weights must not be negative"):
        MLPClassifier().fit(*classes(20), sample_weight=-np.ones(20))
    X, y = classes(20)
    with pytest.raises(ValueError, match="give every example a weight of zero"):
        MLPClassifier().fit(X, y, np.zeros(20))
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(20,\), not \(3,\)"):
        MLPClassifier().fit(X, y, [1, 2, 3])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="The validation set is too small"):
        MLPRegressor(early_stopping=True).fit(X[:2], y[:2])
    with pytest.raises(ValueError, match="more than two classes"):
        MLPClassifier().fit(X, np.stack([y, y], 1))
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPClassifier(solver="lbfgs").partial_fit(X, y)


@pytest.mark.parametrize("weight", [1.0, 3, np.float32(0.5)])
def test_a_single_sample_weight_counts_for_every_row(weight: Any) -> None:
    X, y = classes(40)
    given = {"random_state": 0, "max_iter": 3, "alpha": 0.0}
    plain, weighted = MLPClassifier(**given).fit(X, y), MLPClassifier(**given).fit(X, y, weight)
    assert_allclose(weighted.coefs_[0], plain.coefs_[0], rtol=1e-12)
    with pytest.raises(ValueError, match="give every example a weight of zero"):
        MLPClassifier(**given).fit(X, y, 0.0)


def test_a_batch_size_above_the_rows_warns() -> None:
    X, y = classes(40)
    given = {"random_state": 0, "max_iter": 3}
    with pytest.warns(UserWarning, match="batch_size=41 is above the 40 training rows .* clipped") as caught:
        clipped = MLPClassifier(batch_size=41, **given).fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}
    assert_array_equal(clipped.coefs_[0], MLPClassifier(batch_size=40, **given).fit(X, y).coefs_[0])


def test_a_momentum_of_one_is_allowed() -> None:
    X, y = classes(40)
    est = MLPClassifier(solver="sgd", momentum=1.0, max_iter=3, random_state=0).fit(X, y)
    theirs = neural_network.MLPClassifier(solver="sgd", momentum=1.0, max_iter=3, random_state=0).fit(X, y)
    assert_allclose(est.coefs_[0], theirs.coefs_[0], rtol=1e-9)
    MLPClassifier(momentum=1.0, max_iter=3).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("labels", [2, 3, "several"])
def test_balanced_weights_count_sample_weights(labels: Any, solver: str) -> None:
    X, y = classes(60, 3 if labels == "several" else labels)
    y = np.stack([y > 0, y > 1], 1).astype(int) if labels == "several" else y
    weights = np.random.default_rng(0).integers(1, 6, 60) * np.where(X[:, 0] > 0, 3, 1)
    repeated = np.repeat(np.arange(60), weights)
    given: dict[str, Any] = {"class_weight": "balanced", "solver": solver, "alpha": 0.1, "random_state": 0}
    given |= {"max_iter": 20, "shuffle": False}
    weighted = MLPClassifier(**given, batch_size=60).fit(X, y, weights)
    rows = MLPClassifier(**given, batch_size=len(repeated)).fit(X[repeated], y[repeated])
    assert_allclose(weighted.predict_proba(X), rows.predict_proba(X), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # scikit-learn's
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble])
def test_float32_estimators_take_other_floats(dtype: Any) -> None:
    X, y = classes(60)
    est = MLPClassifier(max_iter=3, precision="float32", random_state=0).fit(X, y)
    rows = X.astype(dtype)
    assert_array_equal(est.predict_proba(rows), est.predict_proba(rows.astype(np.float32)))
    rows[2, 1] = np.inf if dtype == np.float16 else 1e300
    with pytest.raises(ValueError, match="infinity or a value too large"):
        est.predict(rows)
