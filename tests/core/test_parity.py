"""Gradients and weights equal the textbook's, on every backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend, one_hot
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import DEFINED, PAIRINGS

import gpunn
from gpunn.functions.costs import COSTS
from gpunn.reference import Textbook

DEPTH = 4  # hidden layers of a network that tests as many activations at once


def stacked(pairings: Sequence[tuple[str, str, str]]) -> list[Any]:
    """Group pairings by output and cost; each activation is in turn that of the last hidden layer."""
    hidden: dict[tuple[str, str], list[str]] = {}
    for f, *end in pairings:
        hidden.setdefault(tuple(end), []).append(f)
    return [
        pytest.param(chosen := turned[k : k + DEPTH], output, cost, id=f"{' '.join(chosen)}-{output}-{cost}")
        for turn, ((output, cost), fs) in enumerate(hidden.items())
        for turned in [fs[turn % len(fs) :] + fs[: turn % len(fs)]]
        for k in range(0, len(fs), DEPTH)
    ]


def network(sizes: list[int], hidden: Sequence[str], output: str, cost: str, seed: int = 0) -> gpunn.Network:
    """Build a network of these sizes, with as many of the hidden activations as it has hidden layers."""
    layers = [gpunn.Dense(n, f) for n, f in zip(sizes[1:-1], hidden, strict=False)]
    net = gpunn.Network(sizes[0], [*layers, gpunn.Dense(sizes[-1], output)], cost, seed, "float64")
    for w, b in zip(net.weights, net.biases, strict=True):
        w *= 1 / 4 if "exp" in hidden else 1  # exp of exp saturates a sigmoid
        b[:] = net.rng.standard_normal(b.shape) / 3
    return net


def textbook(net: gpunn.Network) -> Textbook:
    copies = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
    return Textbook(*copies, [layer.f.name for layer in net.layers], net.cost.name)


def data(net: gpunn.Network, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((net.sizes[0], m)), rng.integers(0, max(2, net.sizes[-1]), m)


def test_softmax_with_targets_that_do_not_sum_to_one(backend: MakeBackend) -> None:
    net = network([3, 4], [], "softmax", "cross-entropy")
    X, _ = data(net, 6)
    for Y in (np.random.default_rng(1).random((4, 6)), np.full((4, 6), 0.25)):
        for (dw, _), (dw_, _) in zip(net.gradients(X, Y), textbook(net).mean_gradient(X, Y), strict=True):
            np.testing.assert_allclose(dw, dw_, rtol=0, atol=1e-12)


def targets(net: gpunn.Network, y: np.ndarray) -> np.ndarray:
    return y[None].astype(float) if net.sizes[-1] == 1 else one_hot(y, net.sizes[-1])


@pytest.mark.parametrize(("hidden", "output", "cost"), stacked(DEFINED))
def test_gradients_equal_the_textbook(
    backend: MakeBackend, hidden: list[str], output: str, cost: str
) -> None:
    net = network([7, *(6, 5, 6, 5)[: len(hidden)], 4], hidden, output, cost)
    X, y = data(net, 9)
    expected = textbook(net).mean_gradient(X, targets(net, y))
    for (dw, db), (dw_, db_) in zip(net.gradients(X, y), expected, strict=True):
        np.testing.assert_allclose(dw, dw_, rtol=0, atol=1e-12 * max(1, np.abs(dw_).max()))
        np.testing.assert_allclose(db, db_, rtol=0, atol=1e-12 * max(1, np.abs(db_).max()))


@pytest.mark.filterwarnings("ignore:.*is defined for outputs")
@pytest.mark.parametrize(("hidden", "output", "cost"), stacked(PAIRINGS))
def test_gradients_equal_central_differences(on_cpu: None, hidden: list[str], output: str, cost: str) -> None:
    net = network([2, *[2] * len(hidden), 2], hidden, output, cost)
    X, y = data(net, 5)
    assert gpunn.check_gradients(net, X, y) < 1e-6


def test_check_gradients_finds_a_wrong_gradient() -> None:
    wrong = gpunn.Activation.from_functions(np.sin, np.sin, "wrong")
    net = gpunn.Network(4, [gpunn.Dense(3, wrong), gpunn.Dense(2, "softmax")], seed=0)
    assert gpunn.check_gradients(net, *data(net, 5)) > 1e-3


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    m=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    pairing=st.sampled_from(DEFINED),
    seed=st.integers(0, 1000),
)
def test_an_epoch_equals_the_textbook(
    backend: MakeBackend, sizes: list[int], m: int, batch_size: int, pairing: tuple[str, str, str], seed: int
) -> None:
    hidden, output, cost = pairing
    net = network(sizes, [hidden] * len(sizes), output, cost, seed)
    book = textbook(net)
    X, y = data(net, m, seed)
    order = np.random.default_rng(seed).permutation(m)
    net.rng = np.random.default_rng(seed)
    room = np.inf  # distance of the outputs from the end of the domain; the smaller, the more digits are lost
    low, high = COSTS[cost].domain
    with np.errstate(all="ignore"):
        for start in range(0, m, batch_size):
            outputs = np.array([book.feedforward(x[:, None]) for x in X.T])
            room = min(room, (outputs - low).min(), (high - outputs).min())
            book.epoch(X, targets(net, y), order[start : start + batch_size], batch_size, eta=0.05)
        finite = all(np.isfinite(w).all() and np.abs(w).max() < 1e3 for w in book.weights)
    if not finite or room <= 0:  # cross-entropy of a saturated output: the textbook divides by zero
        return
    net.fit(X, y, epochs=1, batch_size=batch_size, optimizer=gpunn.SGD(0.05))
    for mine, theirs in zip(net.weights + net.biases, book.weights + book.biases, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=max(1e-10, 1e-15 / room))
