"""Columns that products read are padded: no sum sees the padding, and nobody outside the backend does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from host_products import written

import gpunn
from gpunn import backends
from gpunn.backends import Host
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import BF16, WIDEST, Buffer
from gpunn.backends.cuda.memory import Narrowed
from gpunn.backends.cuda.source import activation_source
from gpunn.core.parameters import Layout
from gpunn.core.vector_equations import RefreshLowPrecision

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

SIZES = [(5, 7, 3), (17, 33, 31, 1), (8, 16, 16, 2), (15, 31, 2), (1, 1, 1)]


def aligned(x: Buffer) -> bool:
    return x.pointer % WIDEST == 0 and x.ld * x.dtype.itemsize % WIDEST == 0


@pytest.mark.parametrize("precision", ["float32", "float64", "tf32", "bf16"])
@pytest.mark.parametrize("n", [1, 7, 8, 15, 16, 500, 2500])
def test_columns_start_on_whole_loads(precision: str, n: int) -> None:
    memory = Cuda(EmulatedDevice(), precision).memory
    x = memory.operand(n, 3)
    assert aligned(x)
    assert x.ld > n
    assert aligned(memory.columns(x, 1, 3))


def test_theta_in_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each w and b of the copy is θ's, rounded, with zeros around and a 1 beneath b."""
    be, layout = Cuda(EmulatedDevice(), "bf16"), Layout((11, 10, 24, 5, 3), (False, True, False, False))
    theta = be.memory.new_parameters(layout)
    values = np.random.default_rng(0).standard_normal(theta.flat.shape).astype(np.float32)
    be.memory.restore(values, into=theta.flat)
    for call in be.plan([RefreshLowPrecision(theta)]):
        call()
    copy = be.memory.low_precision(theta)
    assert isinstance(copy, Narrowed)
    for l, (n_in, n) in enumerate(pairwise(layout.sizes), 1):
        assert aligned(copy.w[l])
        assert copy.b[l].pointer % WIDEST == 0
        rows, columns = -(-n // 8) * 8, -(-n_in // 8) * 8
        w, b = np.zeros((rows, columns)), np.zeros((rows, 1))
        w[:n, :n_in], b[:n] = be.memory.download(theta.w[l]), be.memory.download(theta.b[l])
        b[n : n + 1] = 1
        for mine, expected in ((copy.w[l], w), (copy.b[l], b)):
            np.testing.assert_array_equal(be.memory.download(mine), written(expected, BF16))
    np.testing.assert_array_equal(be.memory.download(theta.flat), values)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("hidden", ["relu", "gelu", "sigmoid"])
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-4), ("float64", 1e-12)])
def test_odd_sizes_and_batches(
    sizes: tuple[int, ...], hidden: str, dtype: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulated device's new memory is NaNs, so padding in a sum would show."""
    device, found = EmulatedDevice(), []
    X = np.random.default_rng(0).standard_normal((sizes[0], 23))
    y = np.random.default_rng(1).standard_normal((sizes[-1], 23))
    for be in (Host(dtype), Cuda(device, dtype)):
        monkeypatch.setattr(backends, "choose", lambda *_, be=be: be)
        layers = [*(gpunn.Dense(n, hidden) for n in sizes[1:-1]), gpunn.Dense(sizes[-1], "identity")]
        net = gpunn.Network(sizes[0], layers, "quadratic", seed=0, dtype=dtype)
        net.fit(X, y, epochs=2, batch_size=9, optimizer=gpunn.SGD(0.1, l2=0.01))
        found.append(net.theta.copy())
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=most)
    device.check()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_a_row_of_ones_brings_the_bias_gradient(
    precision: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BP3 comes with BP4, unless low precision would round the ones of what dropout keeps."""
    device = EmulatedDevice()
    monkeypatch.setattr(backends, "choose", lambda *_: Cuda(device, precision))
    net = gpunn.Network(5, [gpunn.Dense(7, dropout=rate), gpunn.Dense(3, "softmax")], seed=0)
    X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    net.fit(X, np.arange(8) % 3, epochs=1, batch_size=8)
    rounded = precision == "bf16" and rate > 0
    assert device.launches.get("bias_gradient", 0) == (1 if rounded else 0)
    assert device.launches["fill_border"] == (1 if rounded else 2)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("optimizer", [gpunn.SGD(0.1, l2=0.01), gpunn.Momentum(0.1)])
@pytest.mark.parametrize(("precision", "special"), [("bf16", "padded"), ("tf32", "transposed")])
def test_every_way_lands_the_same_gradient(
    sizes: tuple[int, ...],
    optimizer: gpunn.SGD | gpunn.Momentum,
    precision: str,
    special: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BP3 and BP4 in one product; in a kernel and a product; with padding; of transposed matrices."""
    X = np.random.default_rng(0).standard_normal((sizes[0], 40)).astype(np.float32)
    y = np.random.default_rng(1).standard_normal((sizes[-1], 40)).astype(np.float32)
    thetas = {}
    for way in ("together", "apart", special):
        device = EmulatedDevice()
        be = Cuda(device, precision)
        monkeypatch.setattr(device, "fastest", lambda task, ways, way=way: way)
        monkeypatch.setattr(backends, "choose", lambda *_, be=be: be)
        layers = [*(gpunn.Dense(n, "relu") for n in sizes[1:-1]), gpunn.Dense(sizes[-1], "identity")]
        net = gpunn.Network(sizes[0], layers, "quadratic", seed=0)
        net.fit(X, y, epochs=1, batch_size=20, optimizer=optimizer)
        thetas[way] = net.theta.copy()
        device.check()
        kernel = {"apart": "bias_gradient", "padded": "land", "transposed": "transpose_both"}.get(way)
        kernels = {"bias_gradient", "land", "transpose_both"} & device.launches.keys()
        assert kernels == ({kernel} if kernel else set())
    np.testing.assert_allclose(thetas[special], thetas["together"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(thetas["apart"], thetas["together"], rtol=0, atol=1e-4)  # sums δ unrounded


def test_a_wide_load_out_of_alignment() -> None:
    """A GPU would end the program."""
    be: Any = Cuda(EmulatedDevice())
    x = be.memory.operand(7, 3)
    shifted = be.memory.operand(7, 4).part(1, (7, 3))
    for call in be.kernels.packs(
        "activate", 7, 3, x.ld, shifted, x, module=activation_source(gpunn.ACTIVATIONS["tanh"])
    ):
        call()
    with pytest.raises(AssertionError, match="activate: a wide load or store out of alignment"):
        be.device.check()
