"""Examples that do not fit on the device are streamed to it, with the same results."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from scipy.sparse import csc_array

from gpunn import Dense, Network, backends
from gpunn.backends.cuda.backend import AHEAD, STRIDE, Cuda

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

RNG = np.random.default_rng(0)
PIXELS = np.asfortranarray(RNG.integers(0, 256, (12, 500), dtype=np.uint8))
VALUES = RNG.standard_normal((12, 500))
LABELS, TARGETS = np.arange(500) % 3, RNG.random((3, 500))
SMALL = 400 << 10  # bytes, enough for everything else
STREAMED = r"MiB of examples stay on the host and are streamed to emulated, which has 0 MiB free"


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], EmulatedDevice]:
    """Compute on an emulated device with that many bytes."""

    def on(nbytes: int) -> EmulatedDevice:
        device = EmulatedDevice(nbytes)
        monkeypatch.setattr(backends, "choose", lambda device_, dtype, *_: Cuda(device, str(np.dtype(dtype))))
        return device

    return on


def fitted(X: np.ndarray, y: np.ndarray, batch_size: int = 9) -> Network:
    net = Network(12, [Dense(6, "tanh"), Dense(3)], "quadratic", seed=0, dtype="float64")
    net.fit(X, y, epochs=3, batch_size=batch_size)
    return net


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (PIXELS, LABELS),
        (VALUES, LABELS),
        (VALUES.astype("f4"), TARGETS),
        (csc_array(VALUES * (VALUES > 1)), LABELS),
    ],
)
def test_streaming_gives_the_same_weights(
    on: Callable[[int], EmulatedDevice], monkeypatch: pytest.MonkeyPatch, X: np.ndarray, y: np.ndarray
) -> None:
    monkeypatch.setattr(Cuda, "chunk_bytes", 9 * 12 * 8 * 4)  # 14 replays and a tail
    on(1 << 40)
    whole = fitted(X, y)
    with monkeypatch.context() as patch:
        patch.setattr("gpunn.backends.cuda.data.SHARE_FOR_EXAMPLES", 1e-9)
        device = on(1 << 30)
        with pytest.warns(UserWarning, match="are streamed to emulated"):
            streamed = fitted(X, y)
    device.check()
    assert np.array_equal(streamed.weights[0], whole.weights[0])
    assert np.array_equal(streamed.weights[1], whole.weights[1])
    assert device.launches["gather_bytes" if X is PIXELS else "gather_values"] >= 3 * 14


def test_examples_that_fit_are_not_streamed(on: Callable[[int], EmulatedDevice]) -> None:
    """The device decides by its free memory."""
    on(SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(PIXELS, LABELS)  # 6 kB
    large = np.tile(PIXELS, 60)  # 360 kB
    on(SMALL)
    with pytest.warns(UserWarning, match=STREAMED):
        net = fitted(large, np.tile(LABELS, 60), batch_size=100)
    assert np.isfinite(net.weights[0]).all()


def test_blocks_can_be_too_large(
    on: Callable[[int], EmulatedDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpunn.backends.cuda.data.SHARE_FOR_EXAMPLES", 1e-9)
    on(1 << 30)
    blocks = [(VALUES[:, :200], LABELS[:200]), (VALUES[:, 200:400], LABELS[200:400])]
    net = Network(12, [Dense(3)], "quadratic", seed=0, dtype="float64")
    with pytest.warns(UserWarning, match="are streamed"):
        net.fit(blocks, epochs=2, batch_size=9)
    plain = Network(12, [Dense(3)], "quadratic", seed=0, dtype="float64")
    monkeypatch.undo()
    plain.fit(blocks, epochs=2, batch_size=9, device="cpu")
    np.testing.assert_allclose(net.weights[0], plain.weights[0], rtol=0, atol=1e-12)


def test_there_are_two_pinned_buffers(
    on: Callable[[int], EmulatedDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpunn.backends.cuda.data.SHARE_FOR_EXAMPLES", 1e-9)
    monkeypatch.setattr(Cuda, "chunk_bytes", 9 * 12 * 8)
    device = on(1 << 30)
    with pytest.warns(UserWarning, match="are streamed"):
        fitted(PIXELS[:, : 9 * 50], LABELS[: 9 * 50])
    chunks = [memory for memory in device.pinned_memory if memory.nbytes == 9 * 12]
    assert len(chunks) == 2
    assert STRIDE * AHEAD > 2  # the host waits for the buffers only
