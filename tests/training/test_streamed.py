"""Streams: examples in blocks that are learnt from as if all of them were in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend

import gpunn
from gpunn import Dense, Network
from gpunn.training.streamed import shuffling

RNG = np.random.default_rng(0)
X, Y = np.asfortranarray(RNG.standard_normal((6, 90))), RNG.integers(0, 3, 90)


class Blocks:
    """The examples in a random order, so many mini-batches at a time."""

    description = "the examples of this test"
    shape = X.shape
    class_counts = np.bincount(Y)

    def __init__(self, batches: int) -> None:
        self.batches = batches

    @staticmethod
    def order(rng: np.random.Generator | None) -> np.ndarray:
        return np.arange(90) if rng is None else rng.permutation(90)

    def blocks(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple]:
        order, m = self.order(rng), self.batches * batch_size
        for start in range(0, 90, m):
            part = order[start : start + m]
            yield X[:, part], Y[part]


def make(dropout: float = 0.4) -> Network:
    layers = [Dense(8, "tanh", dropout=dropout), Dense(3, "softmax")]
    return Network(6, layers, seed=1, dtype="float64")


def in_memory(net: Network, **options: Any) -> gpunn.History:
    return net.fit(X, Y, shuffle=lambda _: Blocks.order(shuffling(net.rng)), **options)


OPTIONS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "optimizer": "adamw",
    "schedule": "cosine",
    "validation": (X[:, :20], Y[:20]),
    "class_weight": {1: 2.0},
}


@pytest.mark.parametrize("batches", [1, 5, 100])
def test_a_stream_equals_memory_bit_for_bit(backend: MakeBackend, batches: int) -> None:
    net, book = make(), make()
    streamed, whole = net.fit(Blocks(batches), **OPTIONS), in_memory(book, **OPTIONS)
    assert net.theta.tobytes() == book.theta.tobytes()
    for one, other in zip(streamed, whole, strict=True):
        assert (one.loss, one.accuracy, one.validation_loss) == (
            other.loss,
            other.accuracy,
            other.validation_loss,
        )


def test_without_shuffling_the_order_is_kept() -> None:
    net, book = make(0), make(0)
    net.fit(Blocks(3), epochs=2, batch_size=8, shuffle=False)
    book.fit(X, Y, epochs=2, batch_size=8, shuffle=False)
    assert net.theta.tobytes() == book.theta.tobytes()


def test_a_stream_is_resumed(tmp_path: Any) -> None:
    net, whole = make(), make()
    whole.fit(Blocks(2), **OPTIONS)
    net.fit(Blocks(2), **{**OPTIONS, "epochs": 2}, checkpoint=tmp_path)
    again = make()
    with pytest.warns(UserWarning, match="the schedule was"):
        again.fit(Blocks(7), **OPTIONS, checkpoint=tmp_path, resume=True)
    other = Blocks(2)
    other.description = "other examples"
    with pytest.raises(ValueError, match="another data set"):
        make().fit(other, **{**OPTIONS, "epochs": 2}, checkpoint=tmp_path, resume=True)
    net, again = make(), make()
    net.fit(Blocks(2), **{**OPTIONS, "schedule": None}, checkpoint=tmp_path / "two")
    again.fit(
        Blocks(4), **{**OPTIONS, "schedule": None, "epochs": 5}, checkpoint=tmp_path / "two", resume=True
    )
    book = make()
    book.fit(Blocks(1), **{**OPTIONS, "schedule": None, "epochs": 5})
    assert again.theta.tobytes() == book.theta.tobytes()


def test_a_stream_of_another_length_is_an_error() -> None:
    stream = Blocks(2)
    stream.shape = (6, 91)
    with pytest.raises((RuntimeError, ValueError)):
        make().fit(stream, epochs=1, batch_size=8)
