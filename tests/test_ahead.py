"""The order of the examples is what the generator alone decides, though it may be drawn an epoch ahead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import MakeBackend

import gpunn
from gpunn.lessons import Ahead, Learner

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
    ahead = Ahead(learner(looking, dropout), ORDER)
    assert ahead.look
    for epoch in range(5):
        key, order = ahead.next()  # drawn before, but for the first
        assert key == (plain.integers(1 << 32) if dropout else 0)
        assert np.array_equal(order, plain.permutation(ORDER))
        ahead.look()
        if epoch == 2:
            assert looking.random() == plain.random()  # what was drawn ahead is now stale


def test_what_was_drawn_ahead_is_used() -> None:
    ahead = Ahead(learner(np.random.default_rng(1)), ORDER)
    assert ahead.look
    ahead.look()
    assert ahead.next_one
    drawn = ahead.next_one[1]
    assert ahead.next() is drawn
    assert ahead.next() is not drawn


def test_nobody_looks_ahead_for_nothing() -> None:
    """On a device that is done when it says so, or with an order of the user's own, who may count."""
    rng = np.random.default_rng(1)
    assert Ahead(learner(rng, runs_ahead=False), ORDER).look is None
    assert Ahead(learner(rng, arrange=lambda order: order), ORDER).look is None


def test_two_fits_are_one_long_fit(backend: MakeBackend) -> None:
    X, y = np.random.default_rng(0).standard_normal((3, 20)), np.arange(20) % 2
    nets = [gpunn.Network(3, [gpunn.Dense(2)], seed=5, dtype="float64") for _ in range(2)]
    nets[0].fit(X, y, epochs=4, batch_size=7)
    for _ in range(2):
        nets[1].fit(X, y, epochs=2, batch_size=7)
    assert np.array_equal(nets[0].weights[0], nets[1].weights[0])
    assert nets[0].rng.bit_generator.state == nets[1].rng.bit_generator.state
