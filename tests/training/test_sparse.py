"""Sparse X gives the results of dense X."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from scipy import sparse

import gpunn
from gpunn.backends.host import memory


def network() -> gpunn.Network:
    return gpunn.Network(12, [gpunn.Dense(5, "tanh"), gpunn.Dense(3, "softmax")], seed=1)


def data(kind: str = "csc") -> tuple[sparse.sparray, np.ndarray]:
    rng = np.random.default_rng(0)
    return sparse.random_array((12, 50), density=0.2, format=kind, rng=rng), rng.integers(0, 3, 50)


@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
def test_training_and_prediction_equal_those_of_dense_X(backend: MakeBackend, kind: str) -> None:
    X, y = data(kind)
    thin, full = network(), network()
    history = thin.fit(X, y, epochs=3, batch_size=7, validation=0.2, optimizer="adam")
    other = full.fit(X.toarray(), y, epochs=3, batch_size=7, validation=0.2, optimizer="adam")
    np.testing.assert_allclose(thin.theta, full.theta, rtol=1e-6, atol=1e-7)
    assert history[-1].validation_loss == pytest.approx(other[-1].validation_loss, rel=1e-6)
    np.testing.assert_allclose(thin.forward(X), full.forward(X.toarray()), rtol=1e-5)
    assert thin.evaluate(X, y) == pytest.approx(full.evaluate(X.toarray(), y), rel=1e-6)
    np.testing.assert_allclose(
        thin.gradients(X, y)[0][0], full.gradients(X.toarray(), y)[0][0], rtol=1e-4, atol=1e-7
    )


def test_blocks_and_layer_statistics() -> None:
    X, y = data()
    thin, full = network(), network()
    thin.fit([(X[:, :30], y[:30]), (X[:, 30:], y[30:])], epochs=2)
    full.fit([(X.toarray()[:, :30], y[:30]), (X.toarray()[:, 30:], y[30:])], epochs=2)
    np.testing.assert_array_equal(thin.theta, full.theta)
    assert gpunn.layer_statistics(thin, X, y) == gpunn.layer_statistics(full, X.toarray(), y)


def test_a_run_on_other_data_is_not_resumed(tmp_path: Path) -> None:
    X, y = data()
    network().fit(X, y, epochs=1, checkpoint=tmp_path)
    network().fit(X, y, epochs=2, checkpoint=tmp_path, resume=True)
    other = X.copy()
    other.data[0] += 1
    with pytest.raises(ValueError, match="another data set"):
        network().fit(other, y, epochs=3, checkpoint=tmp_path, resume=True)


def test_bad_sparse_data_is_refused() -> None:
    X, y = data()
    with pytest.raises(ValueError, match=r"X must be \(12, m\), .* not \(50, 12\); transpose it"):
        network().fit(X.T, y)
    X.data[3] = np.nan
    with pytest.raises(ValueError, match=r"X.data\[3\] is nan"):
        network().forward(X)


@pytest.fixture
def always_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every sparse X as too wide to be made dense on the CPU."""
    monkeypatch.setattr(memory, "MAX_DENSE_BYTES", 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", gpunn.SGD(0.1, l2=1e-3), "momentum", "nesterov", "adam"])
def test_examples_that_stay_sparse_are_learnt_alike(always_sparse: None, optimizer: Any, dtype: str) -> None:
    X, y = data()
    layers = [gpunn.Dense(5, "tanh"), gpunn.Dense(3, "softmax")]
    thin, full = (gpunn.Network(12, layers, seed=1, dtype=dtype) for _ in range(2))
    given: dict[str, Any] = {"epochs": 3, "batch_size": 7, "validation": 0.2, "optimizer": optimizer}
    given |= {"sample_weight": np.arange(50) / 25, "device": "cpu"}
    history, other = thin.fit(X, y, **given), full.fit(X.toarray(), y, **given)
    rtol = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(thin.theta, full.theta, rtol=rtol, atol=rtol / 10)
    assert history[-1].validation_loss == pytest.approx(other[-1].validation_loss, rel=rtol)
    np.testing.assert_allclose(thin.forward(X), full.forward(X.toarray()), rtol=rtol)
    for found, expected in zip(thin.gradients(X, y), full.gradients(X.toarray(), y), strict=True):
        np.testing.assert_allclose(found[0], expected[0], rtol=rtol, atol=rtol / 10)
        np.testing.assert_allclose(found[1], expected[1], rtol=rtol, atol=rtol / 10)


def test_batch_norm_of_examples_that_stay_sparse(always_sparse: None) -> None:
    X, y = data()
    layers = [gpunn.Dense(5, "tanh", batch_norm=True), gpunn.Dense(3, "softmax")]
    thin, full = (gpunn.Network(12, layers, seed=1, dtype="float64") for _ in range(2))
    given: dict[str, Any] = {"epochs": 3, "optimizer": gpunn.SGD(0.1), "device": "cpu"}
    thin.fit(X, y, **given)
    full.fit(X.toarray(), y, **given)
    np.testing.assert_allclose(thin.forward(X), full.forward(X.toarray()), rtol=1e-9)


def test_bytes_that_stay_sparse_are_scaled(always_sparse: None) -> None:
    X = sparse.csc_array((data()[0] * 255).astype(np.uint8))
    np.testing.assert_allclose(network().forward(X), network().forward(X.toarray()), rtol=1e-5)


def test_dropout_of_inputs_and_empty_columns(always_sparse: None) -> None:
    X, y = data()
    X = sparse.hstack([X, sparse.csc_array((12, 20))], format="csc")
    y = np.append(y, np.zeros(20, int))
    thin, full = (gpunn.Network(12, [gpunn.Dense(3, "softmax")], seed=1, input_dropout=0.2) for _ in range(2))
    thin.fit(X, y, epochs=2, device="cpu")
    full.fit(X.toarray(), y, epochs=2, device="cpu")
    np.testing.assert_allclose(thin.theta, full.theta, rtol=1e-5)
    with pytest.raises(ValueError, match="augmentation needs a dense X"):
        network().fit(X, y, augmentation=gpunn.Augmentation((3, 4), shift=1), device="cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory as Linux reports it")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_wide_rows_take_the_memory_of_their_weights(solver: str) -> None:
    code = f"""
import resource
import numpy as np
from scipy import sparse
from gpunn import MLPClassifier
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
X = sparse.random_array((1000, 2**19), density=1e-4, format="csr", rng=np.random.default_rng(0))
y = np.arange(1000) % 2
MLPClassifier((4,), max_iter=1).fit(X[:, :10], y)
before = peak()
est = MLPClassifier((4,), solver={solver!r}, max_iter=2, random_state=0).fit(X, y)
est.predict(X)
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 1200  # MB; X alone would take 4,194 if dense, and a mini-batch 839
