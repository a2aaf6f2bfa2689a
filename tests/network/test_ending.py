"""How training ends early: divergence and Ctrl-C."""

from __future__ import annotations

import itertools
import signal

import numpy as np
import pytest
from helpers import MakeBackend
from small_network import X, Y, small

import gpunn
from gpunn import Dense, Network


def test_divergence_stops_with_advice_and_the_epoch_before(backend: MakeBackend) -> None:
    net = Network(5, [Dense(8, "relu"), Dense(3, "identity")], seed=0)
    before = [w.copy() for w in net.weights]
    with pytest.raises(
        gpunn.Diverged, match=r"the cost became (inf|nan) in epoch 1, step \d+: try a smaller"
    ):
        net.fit(X, Y, epochs=5, batch_size=2, optimizer=gpunn.SGD(1e6))
    assert all(np.array_equal(w, b) for w, b in zip(net.weights, before, strict=True))


def test_divergence_in_the_very_last_step(backend: MakeBackend) -> None:
    net = Network(5, [Dense(3, "identity")], seed=0)
    with pytest.raises(gpunn.Diverged, match="weights"):
        net.fit(X, Y, epochs=1, batch_size=40, optimizer=gpunn.SGD(1e39))


def test_losses_whose_sum_overflows_stop_training(backend: MakeBackend) -> None:
    net = Network(1, [Dense(1, "identity")], dtype="float64", seed=0)
    with pytest.raises(gpunn.Diverged, match=r"the cost became 7.2\d*e\+307 in epoch 1, step 1"):
        net.fit(np.ones((1, 4)), np.full((1, 4), 1.2e154), epochs=3, batch_size=4)


def test_ctrl_c_keeps_what_was_learnt() -> None:
    """Press Ctrl-C in the middle of the twelfth epoch, which has five steps."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may have it ignored
    steps = itertools.count(1)

    def f(z: np.ndarray) -> np.ndarray:
        if next(steps) == 11 * 5 + 3:
            signal.raise_signal(signal.SIGINT)
        return np.tanh(z)

    layers = [Dense(8, (f, lambda z: 1 - np.tanh(z) ** 2)), Dense(3, "softmax")]
    net, twin = Network(5, layers, seed=0), small(dtype="float32")
    history = net.fit(X, Y, epochs=50, batch_size=8, device="cpu")
    assert history.interrupted
    assert len(history) == 11
    twin.fit(X, Y, epochs=11, batch_size=8, device="cpu")
    for mine, theirs in zip(net.weights, twin.weights, strict=True):  # two steps further on
        assert not np.array_equal(mine, theirs)
        np.testing.assert_allclose(mine, theirs, atol=0.05)
