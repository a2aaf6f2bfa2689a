"""The compiled kernels beside NumPy: whole networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_operations import run
from problems import X, Y

import gpunn
from gpunn.backends import Host
from gpunn.backends.host.compiled import compiler
from gpunn.backends.host.compiled.operations import Code, Operation, Program
from gpunn.core.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set GPUNN_COMPILED."""
    return lambda text: monkeypatch.setenv(compiler.VARIABLE, text)


def fit(net: gpunn.Network, epochs: int = 3, **more: Any) -> np.ndarray:
    """Train a network, and return θ."""
    net.fit(X, Y, epochs=epochs, batch_size=5, device="cpu", **more)
    return net.theta


@pytest.mark.parametrize("first", ["float32", "float64"])
def test_both_dtypes_in_one_process(first: str, switch: Any) -> None:
    """The loader shares some symbols between libraries, such as the tables that templates hold."""
    for dtype, atol in sorted({"float32": 1e-5, "float64": 1e-13}.items(), key=lambda d: d[0] != first):
        thetas = []
        for text in "10":
            switch(text)
            thetas.append(fit(gpunn.Network([5, 4, 3], seed=0, dtype=dtype), optimizer="adam"))
        np.testing.assert_allclose(*thetas, rtol=0, atol=atol)


@pytest.mark.parametrize("before", ["0", "1"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizers_state_goes_from_one_to_the_other(name: str, before: str, switch: Any) -> None:
    """A checkpoint means the same to both."""
    nets = [gpunn.Network([5, 4, 3], seed=0, dtype="float64") for _ in range(2)]
    state: dict[str, Any] = {}
    for text, epochs in ((before, 7), ("10"[int(before)], 24), (before, 3)):
        switch(text)
        fit(nets[0], epochs, optimizer=name, optimizer_state=state)
    whole = fit(nets[1], 7 + 24 + 3, optimizer=name)
    np.testing.assert_allclose(nets[0].theta, whole, rtol=0, atol=1e-11)


def fortran(X: np.ndarray) -> np.ndarray:
    return np.asfortranarray(X)


def off_by_a_byte(X: np.ndarray) -> np.ndarray:
    moved = np.zeros(X.nbytes + 1, np.uint8)[1:].view(X.dtype).reshape(X.shape, order="F")
    moved[...] = X
    return moved


FORMS = {
    "column-major": fortran,
    "row-major": np.ascontiguousarray,
    "of the other byte order": lambda X: fortran(X.astype(X.dtype.newbyteorder())),
    "not aligned": off_by_a_byte,
    "every other row": lambda X: np.repeat(X, 2, 0)[::2],
    "from right to left": lambda X: fortran(X[:, ::-1])[:, ::-1],
    "bottom up": lambda X: fortran(X[::-1])[::-1],
    "one column": lambda X: np.broadcast_to(X[:, :1], X.shape),
    "bytes": lambda X: fortran((X * 40 + 128).clip(0, 255).astype(np.uint8)),
    "booleans": lambda X: fortran(X > 0),
    "integers": lambda X: fortran((X * 40).astype(np.int64)),
    "short integers": lambda X: fortran((X * 40).astype(np.int16)),
    "half precision": lambda X: fortran(X.astype(np.float16)),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("of", ["float32", "float64"])
def test_any_form_of_examples(name: str, of: str, switch: Any) -> None:
    thetas = []
    for text in "10":
        switch(text)
        net = gpunn.Network([5, 4, 3], seed=0, dtype="float64")
        net.fit(FORMS[name](X.astype(of)), Y, epochs=2, batch_size=5, device="cpu")
        thetas.append(net.theta)
    np.testing.assert_allclose(*thetas, rtol=0, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_of_weights_that_no_longer_learn_end_at_0(dtype: str, threads: int, switch: Any) -> None:
    """Below the smallest normal number, processors are ten times slower; NumPy keeps such numbers."""
    switch("1")
    be, tiny = Host(dtype), np.finfo(dtype).tiny
    x, half = np.full(70, tiny, dtype), np.full(1, 0.5, dtype)
    assert be.kernels
    run(Program(be.kernels, [Operation(Code.SCALE, [1, 70, 70, half, x])], None), threads)
    assert not x.any()
    assert np.full(70, tiny, dtype)[0] * half[0] > 0
