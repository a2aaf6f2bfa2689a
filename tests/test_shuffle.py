"""The order of the examples is what the generator alone decides, though it is drawn an epoch ahead."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.trainer import Shuffle

KINDS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_looking_ahead_changes_nothing(kind: type[np.random.BitGenerator], keyed: bool) -> None:
    looking, plain, order = np.random.Generator(kind(1)), np.random.Generator(kind(1)), np.arange(50) * 2
    shuffle = Shuffle(looking, order, keyed)
    for _ in range(4):
        key, shuffled = shuffle.next()  # drawn ahead, but for the first
        assert key == (plain.integers(1 << 32) if keyed else 0)
        assert np.array_equal(shuffled, plain.permutation(order))
        shuffle.look_ahead()
        assert looking.random() == plain.random()  # and so it is not used, this once
        shuffle.look_ahead()


def test_what_was_drawn_ahead_is_used() -> None:
    shuffle = Shuffle(np.random.default_rng(1), np.arange(50), keyed=False)
    shuffle.look_ahead()
    assert shuffle.ahead
    drawn = shuffle.ahead[1][1]
    assert shuffle.next()[1] is drawn


def test_a_fit_leaves_the_generator_where_its_last_epoch_put_it() -> None:
    X, y = np.random.default_rng(0).standard_normal((3, 20)), np.arange(20) % 2
    nets = [gpunn.Network(3, [gpunn.Dense(2)], seed=5, dtype="float64") for _ in range(2)]
    nets[0].fit(X, y, epochs=4, batch_size=7, device="cpu")
    for _ in range(2):
        nets[1].fit(X, y, epochs=2, batch_size=7, device="cpu")
    assert np.array_equal(nets[0].weights[0], nets[1].weights[0])
    assert nets[0].rng.bit_generator.state == nets[1].rng.bit_generator.state
