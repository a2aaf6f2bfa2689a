"""The generator alone decides the order of the examples, even if it is drawn and sent an epoch ahead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from helpers import MakeBackend

import gpunn
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.plan import Plan, run
from gpunn.training.sources import DrawAhead, Learner

KINDS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]
ORDER = np.arange(50) * 2


def learner(rng: np.random.Generator, dropout: float = 0.0, **how: Any) -> Learner:
    model: Any = SimpleNamespace(
        dropout=[dropout], be=SimpleNamespace(runs_ahead=how.pop("runs_ahead", True))
    )
    update: Any = None
    return Learner(model, update, 10, rng, **how)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_looking_ahead_changes_nothing(kind: type[np.random.BitGenerator], dropout: float) -> None:
    looking, plain = np.random.Generator(kind(1)), np.random.Generator(kind(1))
    ahead = DrawAhead(learner(looking, dropout), ORDER)
    assert ahead.useful
    for epoch in range(5):
        key, order = ahead.next()  # drawn ahead, except for the first
        assert key == (plain.integers(1 << 32) if dropout else 0)
        assert np.array_equal(order, plain.permutation(ORDER))
        ahead.look()
        if epoch == 2:
            assert looking.random() == plain.random()  # invalidates what was drawn ahead


def test_what_was_drawn_ahead_is_used() -> None:
    ahead = DrawAhead(learner(np.random.default_rng(1)), ORDER)
    assert ahead.useful
    ahead.look()
    assert ahead.prepared
    drawn = ahead.prepared[1]
    assert ahead.next() is drawn
    assert ahead.next() is not drawn


def test_nothing_is_drawn_ahead_without_need() -> None:
    """On a synchronous device, or if the user's function gives the order and may count its calls."""
    rng = np.random.default_rng(1)
    assert not DrawAhead(learner(rng, runs_ahead=False), ORDER).useful
    assert not DrawAhead(learner(rng, arrange=lambda order: order), ORDER).useful


def test_two_fits_equal_one_long_fit(backend: MakeBackend) -> None:
    X, y = np.random.default_rng(0).standard_normal((3, 20)), np.arange(20) % 2
    nets = [gpunn.Network(3, [gpunn.Dense(2)], seed=5, dtype="float64") for _ in range(2)]
    nets[0].fit(X, y, epochs=4, batch_size=7, optimizer="sgd")
    for _ in range(2):
        nets[1].fit(X, y, epochs=2, batch_size=7, optimizer="sgd")
    assert np.array_equal(nets[0].weights[0], nets[1].weights[0])
    assert nets[0].rng.bit_generator.state == nets[1].rng.bit_generator.state


def test_the_next_order_is_sent_before_the_losses_are_read() -> None:
    if not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    device = EmulatedDevice()
    be = Cuda(device)
    net = gpunn.Network(3, [gpunn.Dense(2, "softmax")], seed=0)
    examples = be.data.examples(np.zeros((3, 20), np.uint8), np.zeros(20, int), None)
    over = Plan(net.bind(be), examples, 20, 4)
    device.check()
    uploads, orders = [], [np.arange(20)[::-1].copy(), np.arange(20), np.arange(20) % 7]
    for order in (orders[0], orders[1], orders[2]):  # the last order is not the expected one
        begun = device.synchronisations
        over.start(order)
        run(be, over.stages)
        assert device.synchronisations <= begun + 1  # for the previous order to have been sent
        over.expect(7, orders[1])
        over.results()
        uploads.append(device.uploads)
        sent = np.empty(20, np.int64)
        device.read(over.p.order.pointer, sent)
        assert np.array_equal(sent, orders[1])
    assert np.diff(uploads).tolist() == [1, 2]
