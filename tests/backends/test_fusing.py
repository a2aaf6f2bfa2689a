"""Fused launches of the CUDA backend: fewer kernels, and the same results."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice

import gpunn
from gpunn import backends
from gpunn.backends import Host
from gpunn.backends.cuda import backend
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import Product
from gpunn.core.backprop import backpropagate, feedforward
from gpunn.core.ranks import Share
from gpunn.core.workspace import Chunk

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

M = 24
X = np.random.default_rng(0).random((7, M))
LABELS = np.arange(M) % 3
SOFTMAX = [gpunn.Dense(9, "tanh"), gpunn.Dense(3, "softmax")]
SIGMOID = [gpunn.Dense(9, "sigmoid"), gpunn.Dense(3, "sigmoid")]
CASES: dict[str, tuple[list[gpunn.Dense], dict[str, Any], dict[str, Any]]] = {
    "softmax": (SOFTMAX, {}, {}),
    "quadratic": (SIGMOID, {"cost": "quadratic"}, {}),
    "paired": (SIGMOID, {"cost": "binary-cross-entropy"}, {}),
    "hinge": ([SOFTMAX[0], gpunn.Dense(3, "identity")], {"cost": "hinge"}, {}),
    "softmax, quadratic": (SOFTMAX, {"cost": "quadratic"}, {}),
    "hidden softmax": ([gpunn.Dense(9, "softmax"), gpunn.Dense(3, "softmax")], {}, {}),
    "dropout": ([gpunn.Dense(9, "tanh", dropout=0.5), SOFTMAX[1]], {"input_dropout": 0.2}, {}),
    "batch norm": ([gpunn.Dense(9, "tanh", batch_norm=True), SOFTMAX[1]], {}, {}),
    "weights": (SIGMOID, {"cost": "quadratic"}, {"sample_weight": np.linspace(0, 2, M)}),
    "nesterov": (SIGMOID, {"cost": "quadratic"}, {"optimizer": gpunn.Nesterov(0.1, l2=0.1)}),
    "momentum": (SIGMOID, {"cost": "quadratic"}, {"optimizer": gpunn.Momentum(0.1, l2=0.1)}),
    "clipped": (SIGMOID, {"cost": "quadratic"}, {"optimizer": gpunn.SGD(0.1, clip_norm=0.01)}),
    "adam": (SOFTMAX, {}, {"optimizer": gpunn.Adam(0.01)}),
    "scheduled": (SIGMOID, {"cost": "quadratic"}, {"schedule": "cosine"}),
}


@pytest.fixture
def device() -> EmulatedDevice:
    return EmulatedDevice()


def train(case: str, device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Train for two epochs and return θ."""
    layers, network, how = CASES[case]
    monkeypatch.setattr(backends, "choose", lambda *_: Cuda(device, "float64"))
    net = gpunn.Network(7, layers, seed=0, dtype="float64", **network)
    net.fit(X, LABELS, epochs=2, batch_size=8, shuffle=False, **{"optimizer": gpunn.SGD(0.1), **how})
    device.check()
    return np.concatenate([x.ravel() for x in (*net.weights[1:], *net.biases[1:])])


@pytest.mark.parametrize("case", CASES)
def test_fusing_does_not_change_theta(
    case: str, device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = train(case, device, monkeypatch)
    apart = EmulatedDevice()
    monkeypatch.setattr(backend, "fuse", list)
    np.testing.assert_allclose(together, train(case, apart, monkeypatch), rtol=1e-12, atol=1e-14)
    steps = 0 if case in ("hinge", "softmax, quadratic") else 6
    assert sum(device.launches.values()) == sum(apart.launches.values()) - steps


RELU = [gpunn.Dense(9, "relu"), gpunn.Dense(5, "relu"), gpunn.Dense(3, "softmax")]


def relu_weights(be: Any, monkeypatch: pytest.MonkeyPatch, **how: Any) -> np.ndarray:
    """Train a rectified network for two epochs in float32 and return θ."""
    monkeypatch.setattr(backends, "choose", lambda *_: be)
    net = gpunn.Network(7, RELU, seed=0)
    net.fit(X.astype(np.float32), LABELS, epochs=2, batch_size=7, optimizer=gpunn.SGD(0.1), **how)
    return net.theta.copy()


def test_relus_derivative_in_the_products(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product notes where a is above 0, and BP2's product applies it."""
    theta = relu_weights(Cuda(device), monkeypatch)
    assert not device.launches.keys() & {"forward", "times_derivative", "bias_gradient"}
    np.testing.assert_allclose(theta, relu_weights(Host("float32"), monkeypatch), rtol=0, atol=1e-6)


@pytest.mark.parametrize("refused", ["forward", "backward"])
def test_a_kernel_applies_relus_derivative_if_products_cannot(
    refused: str, device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, expected = device.product, relu_weights(Host("float32"), monkeypatch)

    def some(asked: Product, precision: str) -> Any:
        refuse = asked.bits and asked.relu == (refused == "forward")
        return None if refuse else product(asked, precision)

    monkeypatch.setattr(device, "product", some)
    np.testing.assert_allclose(relu_weights(Cuda(device), monkeypatch), expected, rtol=0, atol=1e-6)
    assert device.launches["times_derivative"] == 16


@pytest.mark.parametrize(("pitch", "offset"), [(15, 0), (16, 8)])
def test_bits_out_of_alignment_are_refused(device: EmulatedDevice, pitch: int, offset: int) -> None:
    """Columns of bits must start on 16 bytes: NVIDIA's manual, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD."""
    memory = Cuda(device).memory
    a, one = memory.upload(np.eye(9)), memory.one
    bits = replace(memory.bits(9, 17).part(offset, (2, 9)), pitch=pitch)
    with pytest.raises(AssertionError, match="bits out of alignment"):
        device.product(Product(one, a, a, one, memory.upload(np.eye(9)), relu=True, bits=bits), "float32")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_deep_network_has_three_launches_a_layer(device: EmulatedDevice, precision: str) -> None:
    """Feedforward, BP2 with f′, and BP3 with BP4; besides, bf16 rounds θ once."""
    be, sizes, m = Cuda(device, precision), (15, 11, 9, 8, 10, 6, 3), 4
    layers = [gpunn.Dense(n, "relu") for n in sizes[1:-1]] + [gpunn.Dense(sizes[-1], "softmax")]
    net = gpunn.Network(sizes[0], layers, seed=0)
    model, examples = net.bind(be), be.data.examples(np.zeros((sizes[0], m)), np.zeros(m, int), None)
    update, f = gpunn.SGD(0.1).bind(be, model.theta), model.f
    chunk = Chunk(
        be.memory, examples, net.layout, f[1:], model.cost, [Share(m, 0, m)], model.dropout, True, True
    )
    batch = next(chunk.mini_batches())
    forth = feedforward(model.theta, f, batch, be.data.new_pass(m))
    step = [*forth, *backpropagate(model.theta, f, model.cost, update, batch)]
    assert len(be.lower(step)) <= 3 * (len(sizes) - 1)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("softmax", {"forward": 1, "forward_softmax_error": 1, "times_derivative": 1}),
        ("quadratic", {"forward": 1, "forward_output_error": 1, "times_derivative": 1}),
        ("weights", {"forward": 1, "forward_output_error": 1, "apply_weights": 1, "times_derivative": 1}),
        ("momentum", {"forward": 1, "forward_output_error": 1, "times_derivative": 1, "add": 3}),
    ],
)
def test_launches_of_a_step(
    case: str, expected: dict[str, int], device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The five products are not counted, nor are the launches that a chunk of steps shares."""
    train(case, device, monkeypatch)
    of_a_chunk = {"fill_border", "gather_values", "gather_labels", "measure", "advance", "weigh_losses"}
    steps = Counter({k: v / 6 for k, v in device.launches.items() if k not in of_a_chunk})
    assert steps == expected
