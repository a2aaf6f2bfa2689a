"""Sparse X gives the results of dense X."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import MakeBackend
from scipy import sparse

import gpunn


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
