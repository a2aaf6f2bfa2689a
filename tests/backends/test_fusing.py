"""Fused launches of the CUDA backend: fewer kernels, and the same results."""

from __future__ import annotations

from collections import Counter
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice

import gpunn
from gpunn import backends
from gpunn.backends.cuda import backend
from gpunn.backends.cuda.backend import Cuda

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
