"""Batch normalisation by its published formulas, on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend, one_hot

import gpunn
from gpunn import Dense, Network
from gpunn.core.backend import NORM_EPSILON
from gpunn.reference import ACTIVATIONS

RNG = np.random.default_rng(0)
X, Y = 3 * RNG.standard_normal((6, 22)) + 1, RNG.integers(0, 3, 22)
ETA = 0.2


def make(f: str = "relu", **settings: Any) -> Network:
    layers = [Dense(9, f, batch_norm=True, **settings), Dense(7, f, batch_norm=True), Dense(3, "softmax")]
    net = Network(6, layers, seed=3, dtype="float64")
    for norm in net.norms[:-1]:
        assert norm
        norm["gamma"][:], norm["beta"][:] = RNG.uniform(0.5, 2, norm["gamma"].shape), 0.1
    return net


def twin(net: Network) -> Network:
    return net.astype("float64")


def gradients_by_hand(net: Network, x: np.ndarray, y: np.ndarray) -> list[list[np.ndarray]]:
    """Compute [dw, db, dgamma, dbeta] of each layer for a mini-batch; move the running mean and variance."""
    f, m, a, back = ACTIVATIONS[net.layers[0].f.name], x.shape[1], [x], []
    for w, b, norm in zip(net.weights, net.biases, net.norms, strict=True):
        z = w @ a[-1] + b
        if norm is None:
            e = np.exp(z - z.max(0))
            delta = e / e.sum(0) - one_hot(y, 3)
            break
        mean, variance = z.mean(1, keepdims=True), z.var(1, keepdims=True)
        norm["mean"][:] = 0.9 * norm["mean"] + 0.1 * mean
        norm["variance"][:] = 0.9 * norm["variance"] + 0.1 * variance * m / (m - 1)
        hat = (z - mean) / np.sqrt(variance + NORM_EPSILON)
        back.append(
            (hat, norm["gamma"] / np.sqrt(variance + NORM_EPSILON), norm["gamma"] * hat + norm["beta"])
        )
        a.append(f[0](back[-1][2]))
    found = [[delta @ a[2].T / m, delta.mean(1, keepdims=True)]]
    for l in (1, 0):
        hat, gain, normed = back[l]
        delta = (net.weights[l + 1].T @ delta) * f[1](normed)
        own = [(delta * hat).mean(1, keepdims=True), delta.mean(1, keepdims=True)]
        means = delta.mean(1, keepdims=True) + hat * (delta * hat).mean(1, keepdims=True)
        delta = gain * (delta - means)
        found.append([delta @ a[l].T / m, delta.mean(1, keepdims=True), *own])
    return found[::-1]


def moved(net: Network) -> list[list[np.ndarray]]:
    """List the parameters that an optimizer moves, in the order of those gradients."""
    norms = [[norm["gamma"], norm["beta"]] if norm else [] for norm in net.norms]
    return [[w, b, *norm] for w, b, norm in zip(net.weights, net.biases, norms, strict=True)]


@pytest.mark.parametrize("f", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0, False), (0.8, False), (0.8, True)])
def test_training_equals_the_formulas(backend: MakeBackend, f: str, momentum: float, nesterov: bool) -> None:
    net = make(f)
    book = twin(net)
    net.rng, book.rng = np.random.default_rng(1), np.random.default_rng(1)
    net.fit(X, Y, epochs=2, batch_size=8, optimizer=gpunn.SGD(ETA, momentum, nesterov))
    v = [[np.zeros_like(x) for x in layer] for layer in moved(book)]
    for _ in range(2):
        order = book.rng.permutation(22)
        for start in range(0, 22, 8):
            batch = order[start : start + 8]
            for theta, velocity, gradient in zip(
                moved(book), v, gradients_by_hand(book, X[:, batch], Y[batch]), strict=True
            ):
                for x, u, g in zip(theta, velocity, gradient, strict=True):
                    u[:] = momentum * u + g
                    x -= ETA * (g + momentum * u if nesterov else u)
    for name, tensor in book._tensors().items():
        np.testing.assert_allclose(net._tensors()[name], tensor, rtol=0, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("make_optimizer", [gpunn.Adam, gpunn.RMSProp, gpunn.AdamW])
def test_no_optimizer_moves_the_running_statistics(backend: MakeBackend, make_optimizer: Any) -> None:
    net = make()
    book = twin(net)
    net.fit(X, Y, epochs=1, batch_size=22, optimizer=make_optimizer(0.01, l1=0.1, max_norm=1.0))
    gradients_by_hand(book, X, Y)
    for mine, theirs in zip(net.norms[:1], book.norms[:1], strict=True):
        assert mine
        assert theirs
        for name in ("mean", "variance"):
            np.testing.assert_allclose(mine[name], theirs[name], rtol=0, atol=1e-12)


def test_the_running_statistics_are_used_when_not_training(backend: MakeBackend) -> None:
    net = make()
    net.fit(X, Y, epochs=3, batch_size=8)
    a = X
    for l in range(2):
        norm = net.norms[l]
        assert norm
        z = net.weights[l] @ a + net.biases[l]
        hat = (z - norm["mean"]) / np.sqrt(norm["variance"] + NORM_EPSILON)
        a = np.maximum(norm["gamma"] * hat + norm["beta"], 0)
    e = np.exp(net.weights[2] @ a + net.biases[2])
    np.testing.assert_allclose(net.forward(X), e / e.sum(0), atol=1e-12)
    np.testing.assert_allclose(net.forward(X[:, :1]), net.forward(X)[:, :1], atol=1e-13)
    before = net.norms[0]["mean"].copy() if net.norms[0] else None
    net.gradients(X, Y)
    assert np.array_equal(before, net.norms[0]["mean"])  # type: ignore[index]


def test_gradients_match_the_evaluated_loss() -> None:
    net = make("tanh")
    net.fit(X, Y, epochs=3, batch_size=8, device="cpu")
    assert gpunn.check_gradients(net, X, Y) < 1e-6


def test_with_dropout(backend: MakeBackend) -> None:
    net = make(dropout=0.5)
    first = net.fit(X, Y, epochs=1, batch_size=8)[0].loss
    assert net.fit(X, Y, epochs=60, batch_size=8)[-1].loss < first


def test_it_is_saved_bitwise(tmp_path: Path) -> None:
    net = make()
    net.fit(X, Y, epochs=1, device="cpu")
    net.save(tmp_path / "m.safetensors")
    again = Network.load(tmp_path / "m.safetensors")
    assert again._tensors().keys() == net._tensors().keys()
    for name, tensor in net._tensors().items():
        assert again._tensors()[name].tobytes() == tensor.tobytes()
    assert again.parameters == net.parameters == 6 * 9 + 9 + 9 * 7 + 7 + 7 * 3 + 3 + 2 * (9 + 7)


def test_it_keeps_deep_activations_alive() -> None:
    """With small weights, the activations of a deep tanh network vanish unless each layer is normalised."""
    deviations = []
    for norm in (False, True):
        net = Network(
            50, [Dense(50, "tanh", batch_norm=norm) for _ in range(8)] + [Dense(2, "softmax")], seed=0
        )
        for w in net.weights:
            w *= 0.05
        data = RNG.standard_normal((50, 400))
        net.fit(data, np.arange(400) % 2, epochs=40, batch_size=100, optimizer=gpunn.SGD(1e-6), device="cpu")
        deviations.append(gpunn.layer_statistics(net, data, np.arange(400) % 2)[7].deviation)
    assert deviations[0] < 1e-3
    assert deviations[1] > 0.3


def test_the_outputs_are_not_normalised() -> None:
    with pytest.raises(ValueError, match="the outputs cannot be normalised"):
        Network(3, [Dense(2, batch_norm=True)])


def test_pytorch_agrees() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net = make("tanh")
    modules: list[Any] = []
    for layer, w, b, norm in zip(net.layers, net.weights, net.biases, net.norms, strict=True):
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.tensor(w.copy()), torch.tensor(b[:, 0].copy())
        modules.append(linear)
        if norm:
            modules.append(torch.nn.BatchNorm1d(layer.n, dtype=torch.float64))
            modules[-1].weight.data = torch.tensor(norm["gamma"][:, 0].copy())
            modules[-1].bias.data = torch.tensor(norm["beta"][:, 0].copy())
            modules.append(torch.nn.Tanh())
    theirs = torch.nn.Sequential(*modules)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=ETA)
    order = np.random.default_rng(5).permutation(22)
    net.rng = np.random.default_rng(5)
    net.fit(X, Y, epochs=1, batch_size=11, optimizer=gpunn.SGD(ETA), device="cpu")
    for batch in (order[:11], order[11:]):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(X[:, batch].T)), torch.tensor(Y[batch]))
        loss.backward()
        optimizer.step()
    theirs.eval()
    with torch.no_grad():
        probabilities = torch.softmax(theirs(torch.tensor(X.T)), 1).numpy().T
    np.testing.assert_allclose(net.forward(X), probabilities, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_folding_keeps_the_function(dtype: str) -> None:
    rng = np.random.default_rng(0)
    layers = [Dense(9, "relu", batch_norm=True), Dense(7), Dense(5, "tanh", batch_norm=True), Dense(3)]
    net = Network(6, layers, seed=0, dtype=dtype)
    X = rng.standard_normal((6, 50)).astype(dtype)
    net.fit(X, rng.integers(0, 3, 50), epochs=3, batch_size=10)
    folded = net.folded()
    assert folded.norms == [None] * 4
    assert folded.dtype == net.dtype
    np.testing.assert_allclose(folded.forward(X), net.forward(X), rtol=0, atol=1e-6)
