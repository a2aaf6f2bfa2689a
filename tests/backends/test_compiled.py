"""The compiled kernels: programs as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from emulated import COMPILER
from problems import X, Y

import gpunn
from gpunn.backends.host.compiled import compiler

pytestmark = pytest.mark.skipif(not COMPILER, reason="no C++ compiler")


def trained(dtype: str, compiled: str, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Train a network, and return its weights."""
    monkeypatch.setenv(compiler.VARIABLE, compiled)
    net = gpunn.Network([5, 4, 3], seed=0, dtype=dtype)
    net.fit(X, Y, epochs=3, batch_size=5, optimizer=gpunn.Adam(0.01), device="cpu")
    return net.weights


@pytest.mark.parametrize("first", ["float32", "float64"])
def test_both_dtypes_in_one_process(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader shares some symbols between libraries, such as the tables that templates hold."""
    for dtype, atol in sorted({"float32": 1e-5, "float64": 1e-13}.items(), key=lambda d: d[0] != first):
        for mine, theirs in zip(
            trained(dtype, "1", monkeypatch), trained(dtype, "0", monkeypatch), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=atol)
