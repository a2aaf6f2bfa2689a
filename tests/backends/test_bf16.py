"""Precision bf16: the operands of products are stored in 16 bits, θ and the optimizer's state in 32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from helpers import classes, need_cuda
from host_products import read, written
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import DEFINED, EVERYTHING, IMAGES

import gpunn
from gpunn import Dense, Network, backends
from gpunn.backends import Host
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import BF16

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")
HALF_A_DIGIT = 2.0**-9  # maximum relative error of rounding to bf16
X, Y = classes(240)
X = np.asfortranarray(X.T, np.float32)


@pytest.fixture
def device() -> EmulatedDevice:
    return EmulatedDevice()


@pytest.fixture(params=["emulated", "cuda"])
def bf16(request: pytest.FixtureRequest, device: EmulatedDevice) -> Iterator[Any]:
    if request.param == "emulated":
        yield Cuda(device, "bf16")
        device.check()
    else:
        need_cuda()
        yield backends.choose("cuda", "float32", "bf16")


@pytest.fixture
def both(bf16: Cuda, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[Any]]:
    """Run a computation of the public API in float32 on the CPU and in bf16; return both results."""

    def both(compute: Callable[[], Any]) -> list[Any]:
        found = []
        for be in (Host("float32"), bf16):
            monkeypatch.setattr(backends, "choose", lambda *_, be=be: be)
            found.append(compute())
        return found

    return both


def rounded(be: Cuda, x: np.ndarray) -> np.ndarray:
    """Round x by the kernel and return the bits."""
    ld = -(-x.size // 8) * 8
    out, table = be.memory.new((ld,), BF16), be.memory.put(np.array([0, 0, x.size, ld, 0, 0]), np.int64)
    for call in be.kernels.each("narrow", ld // 8, 1, table, be.memory.upload(x), out):
        call()
    return be.memory.download(out)[: x.size]


def value(bits: int) -> float:
    """Return the value of these bits, as if bf16 had no largest number."""
    exponent, digits = bits >> 7 & 0xFF, bits & 0x7F
    size = (128 + digits) * 2.0 ** (exponent - 134) if exponent else digits * 2.0**-133
    return -size if bits >> 15 else size


class TestRounding:
    @settings(max_examples=30)
    @given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
    def test_rounding_to_nearest_with_ties_to_even(self, bf16: Cuda, values: list[float]) -> None:
        x = np.array(values, np.float32)
        bits = rounded(bf16, x)
        assert np.array_equal(bits, written(x, BF16))
        for number, found in zip(x.astype(float), bits.tolist(), strict=True):
            above = value(found + 1)
            below = value(found - 1) if found & 0x7FFF else -above
            apart = abs(number - value(found))
            assert apart <= min(abs(number - above), abs(number - below))
            assert found % 2 == 0 or apart not in (abs(number - above), abs(number - below))

    def test_nan_and_infinity(self, bf16: Cuda) -> None:
        x = np.array([np.nan, -np.nan, np.inf, -np.inf, 3.4e38, -0.0], np.float32)
        back = read(rounded(bf16, x))
        assert np.isnan(back[:2]).all()
        assert np.array_equal(back[2:], [np.inf, -np.inf, np.inf, 0])
        assert np.signbit(back[-1])


# every activation and every cost, not every pair
PAIRINGS = [
    (f, g, c)
    for f, g, c in DEFINED
    if (g, c) == ("softmax", "cross-entropy") or (f, g) == ("tanh", "softmax")
]


@pytest.mark.parametrize(("hidden", "output", "cost"), PAIRINGS)
def test_gradients_are_close(both: Any, hidden: str, output: str, cost: str) -> None:
    """Each product rounds its operands and sums a few dozen terms.

    If f′ or the cost's gradient jumps, rounding can put an element on the other side of the jump.
    """
    jumps = "relu" in hidden or cost in ("mae", "quantile", "quantiles", "hinge")
    net = Network(7, [Dense(9, "tanh"), Dense(5, hidden), Dense(3, output)], cost, seed=0)
    for exact, found in zip(*both(lambda: net.gradients(X, Y)), strict=True):
        for a, b in zip(exact, found, strict=True):
            error = np.linalg.norm(a - b) / (np.linalg.norm(a) or 1)
            assert error < (150 if jumps else 15) * HALF_A_DIGIT


CASES: dict[str, dict[str, Any]] = {
    "dropout": {"layers": [Dense(24, "relu", dropout=0.3), Dense(3, "softmax")], "input_dropout": 0.1},
    "batch norm": {"layers": [Dense(24, "tanh", batch_norm=True), Dense(3, "softmax")]},
    "batch norm, softmax within": {"layers": [Dense(24, "softmax", batch_norm=True), Dense(3, "softmax")]},
    "softmax within": {"layers": [Dense(24, "softmax", dropout=0.1), Dense(3, "softmax")]},
    "hinge": {"layers": [Dense(24, "relu"), Dense(3, "identity")], "cost": "hinge"},
    "softmax, not paired": {"layers": [Dense(24, "tanh"), Dense(3, "softmax")], "cost": "quadratic"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adamw"])
def test_every_kind_of_layer_learns(both: Any, case: str, optimizer: str) -> None:
    def losses() -> list[float]:
        net = Network(7, seed=1, **CASES[case])
        how = {"optimizer": optimizer, "sample_weight": 1 + (Y == 1), "batch_size": 32, "epochs": 3}
        return [epoch.loss for epoch in net.fit(X, Y, **how)]

    exact, found = both(losses)
    assert found[-1] < found[0]
    np.testing.assert_allclose(found, exact, rtol=0.03)


def test_images_are_distorted_in_the_same_way(both: Any) -> None:
    def weights() -> np.ndarray:
        net = Network(108, [Dense(5), Dense(3)], seed=1)
        how: Any = {"epochs": 2, "batch_size": 8, "augmentation": EVERYTHING}
        net.fit(IMAGES.astype(np.float32), np.arange(23) % 3, optimizer="sgd", **how)
        return net.weights[0]

    np.testing.assert_allclose(*both(weights), rtol=0, atol=0.01)


def test_steps_below_the_resolution_of_bf16_add_up(both: Any) -> None:
    """A weight moves by less than half a bf16 digit in each step, and still arrives."""
    EPOCHS = 40

    def moved() -> np.ndarray:
        net = Network(7, [Dense(6, "tanh"), Dense(3, "softmax")], seed=1)
        for w in net.weights:
            w[:] = np.where(w < 0, -1, 1)
        before = net.weights[1].copy()
        net.fit(X, Y, epochs=EPOCHS, batch_size=X.shape[1], optimizer=gpunn.SGD(1e-3))
        return net.weights[1] - before

    exact, found = both(moved)
    assert np.abs(exact).max() / EPOCHS < HALF_A_DIGIT / 2
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


def test_the_resident_kernel_computes_in_float32(both: Any, device: EmulatedDevice) -> None:
    device.shared_bytes = 200 << 10  # a real GPU has shared memory anyway

    def weights() -> np.ndarray:
        net = Network(7, [Dense(6), Dense(3, "softmax")], seed=1)
        net.fit(X, Y, epochs=2, batch_size=8, optimizer="adam")
        return net.weights[0]

    exact, found = both(weights)
    assert not device.launches or "train" in device.launches
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5)


def test_predictions_are_float32_and_close(both: Any) -> None:
    net = Network(7, [Dense(40, "relu"), Dense(3, "softmax")], seed=1)
    exact, found = both(lambda: net.forward(np.tile(X, 3)))
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.01)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)  # a sum in bf16 would be off by 1e-3


def test_operands_take_half_the_memory(device: EmulatedDevice) -> None:
    assert [Cuda(device, x).memory.operand(15, 4).nbytes for x in ("bf16", "tf32")] == [128, 256]
