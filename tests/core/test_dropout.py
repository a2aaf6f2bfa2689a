"""Dropout: correct masks, the same on every backend, and the gradient of the thinned network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend, one_hot

import gpunn
from gpunn import Dense, Network
from gpunn.functions import randoms
from gpunn.reference import ACTIVATIONS

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 10)), RNG.integers(0, 3, 10)
ETA = 0.3


def make(f: str = "tanh", inputs: float = 0.25, hidden: float = 0.5, dtype: str = "float64") -> Network:
    layers = [Dense(9, f, dropout=hidden), Dense(7, f, dropout=hidden / 2), Dense(3, "softmax")]
    return Network(6, layers, seed=3, dtype=dtype, input_dropout=inputs)


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(0)


def backward(f: str, z: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """δ ⊙ f′(z), or the product with the softmax's Jacobian."""
    if f != "softmax":
        return delta * ACTIVATIONS[f][1](z)
    return softmax(z) * (delta - (delta * softmax(z)).sum(0))


def one_epoch_by_hand(net: Network, batch_size: int) -> None:
    """Train one epoch by the textbook with inverted dropout, given a mask for each layer and step."""
    f = [softmax if x.f.name == "softmax" else ACTIVATIONS[x.f.name][0] for x in net.layers[:-1]]
    key, order = int(net.rng.integers(1 << 32)), net.rng.permutation(10)
    for step, start in enumerate(range(0, 10, batch_size)):
        batch = order[start : start + batch_size]
        m = len(batch)
        kept = [
            randoms.mask(n, m, rate, key, step, l) / (1 - rate)
            for l, (n, rate) in enumerate(zip(net.sizes[:-1], net.dropout, strict=True))
        ]
        a, zs = [X[:, batch] * kept[0]], []
        for l, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
            zs.append(w @ a[-1] + b)
            if l < 2:
                a.append(f[l](zs[-1]) * kept[l + 1])
        delta = softmax(zs[-1]) - one_hot(Y[batch], 3)
        for l in (2, 1, 0):
            dw, db = delta @ a[l].T / m, delta.mean(1, keepdims=True)
            if l:
                delta = (net.weights[l].T @ delta) * kept[l]
                delta = backward(net.layers[l - 1].f.name, zs[l - 1], delta)
            net.weights[l][:] -= ETA * dw
            net.biases[l][:] -= ETA * db


@pytest.mark.parametrize("f", ["tanh", "relu", "sigmoid", "gelu", "softmax"])
@pytest.mark.parametrize(("inputs", "hidden"), [(0.25, 0.5), (0.0, 0.5), (0.25, 0.0)])
def test_training_equals_the_textbook(backend: MakeBackend, f: str, inputs: float, hidden: float) -> None:
    net, book = make(f, inputs, hidden), make(f, inputs, hidden)
    net.fit(X, Y, epochs=2, batch_size=4, optimizer=gpunn.SGD(ETA))
    for _ in range(2):
        one_epoch_by_hand(book, 4)
    for mine, theirs in zip(net.weights + net.biases, book.weights + book.biases, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_requested_share_is_dropped(rate: float) -> None:
    masks = np.stack([randoms.mask(50, 40, rate, key=7, step=step, layer=1) for step in range(100)])
    share, sigma = 1 - masks.mean(), np.sqrt(rate * (1 - rate) / masks.size)
    assert abs(share - rate) < 5 * sigma + 1 / randoms.LANE
    each_unit = 1 - masks.mean((0, 2))
    assert np.abs(each_unit - rate).max() < 5 * np.sqrt(rate * (1 - rate) / 4000)


def test_masks_are_uncorrelated() -> None:
    """Correlations between neighbours, steps, layers and keys are no larger than chance."""
    first = randoms.mask(100, 100, 0.5, 1, 0, 0).ravel()
    others = [randoms.mask(100, 100, 0.5, *which).ravel() for which in ((2, 0, 0), (1, 1, 0), (1, 0, 1))]
    for other in [*others, np.roll(first, 1), np.roll(first, 2), np.roll(first, 100)]:
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.05


def test_the_expected_activation_is_kept() -> None:
    """With inverted dropout, the mean over many masks is the next layer's input without dropout."""
    a = RNG.random((30, 1))
    dropped = [randoms.mask(30, 1, 0.4, key, 0, 1) / 0.6 * a for key in range(4000)]
    np.testing.assert_allclose(np.mean(dropped, 0), a, atol=0.08)


def test_nothing_is_dropped_when_not_training(backend: MakeBackend) -> None:
    net, plain = make(), make(inputs=0, hidden=0)
    np.testing.assert_array_equal(net.forward(X), plain.forward(X))
    assert net.evaluate(X, Y) == plain.evaluate(X, Y)
    assert gpunn.check_gradients(net, X, Y, samples=20) < 1e-6


def test_byte_inputs_can_be_dropped(backend: MakeBackend) -> None:
    pixels = RNG.integers(0, 256, (6, 10), dtype=np.uint8)
    nets = [make(), make()]
    nets[0].fit(pixels, Y, epochs=2, batch_size=4)
    nets[1].fit(pixels / 255, Y, epochs=2, batch_size=4)
    np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], atol=1e-13)


def test_it_is_saved(tmp_path: Path) -> None:
    make().save(tmp_path / "m.safetensors")
    assert Network.load(tmp_path / "m.safetensors").dropout == (0.25, 0.5, 0.25)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Dense(3, dropout=0.999999), r"dropout 0.999999 would drop everything"),
        (lambda: Dense(3, dropout=1), r"dropout must be in \[0, 1\), not 1"),
        (lambda: Network(3, [Dense(3)], input_dropout=-0.1), r"dropout must be in \[0, 1\), not -0.1"),
        (lambda: Network(3, [Dense(3, dropout=0.5)]), "the outputs cannot be dropped"),
    ],
)
def test_wrong_names_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
