"""The compiled kernels of both precisions, loaded into one process."""

import numpy as np
import pytest

import gpunn
from gpunn.backends import Host

X = np.random.default_rng(0).normal(size=(20, 300))


def theta(dtype: str) -> np.ndarray:
    """Return what a network has learnt."""
    layers = [gpunn.Dense(16, "tanh"), gpunn.Dense(2, "softmax")]
    net = gpunn.Network(20, layers, seed=0, dtype=dtype)
    net.fit(X, (X[0] > 0).astype(int), epochs=3, batch_size=32, optimizer="adam", device="cpu")
    return net.theta


def test_each_precision_has_functions_of_its_own(monkeypatch):
    if Host().kernels is None:
        pytest.skip("needs a C++ compiler")
    learnt = {dtype: theta(dtype) for dtype in ("float32", "float64")}
    monkeypatch.setenv("GPUNN_COMPILED", "0")
    np.testing.assert_allclose(learnt["float32"], theta("float32"), atol=1e-5)
    np.testing.assert_allclose(learnt["float64"], theta("float64"), atol=1e-12)
