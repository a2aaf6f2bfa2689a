"""Data that are never in memory all at once: blocks of columns, and memory-mapped files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend

import gpunn
from gpunn import Dense, Network

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 90)), RNG.integers(0, 3, 90)
WEIGHTS = RNG.uniform(0.5, 2, 90)


def make(**more: Any) -> Network:
    return Network(6, [Dense(8, "tanh"), Dense(3, "softmax")], seed=1, dtype="float64", **more)


def blocks_of(size: int, weights: bool = False) -> list[tuple]:
    parts = [slice(start, start + size) for start in range(0, 90, size)]
    return [(X[:, p], Y[p], WEIGHTS[p]) if weights else (X[:, p], Y[p]) for p in parts]


def same(a: Network, b: Network) -> None:
    for mine, theirs in zip(a.weights + a.biases, b.weights + b.biases, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [90, 30, 40])
@pytest.mark.parametrize("optimizer", [gpunn.SGD(0.3), gpunn.Adam(0.01)])
def test_blocks_equal_data_sets_in_turn(backend: MakeBackend, size: int, optimizer: gpunn.SGD) -> None:
    """Each block equals a `fit` of its own that continues the optimizer's state."""
    net, book, state = make(), make(), {}
    net.fit(blocks_of(size), epochs=3, batch_size=8, optimizer=optimizer)
    for _ in range(3):
        for block in blocks_of(size):
            book.fit(*block, epochs=1, batch_size=8, optimizer=optimizer, optimizer_state=state)
    same(net, book)


def test_weights_come_with_the_blocks(backend: MakeBackend) -> None:
    net, book = make(), make()
    given: dict[str, Any] = {"class_weight": {1: 2.0}, "optimizer": "sgd"}
    net.fit(blocks_of(45, weights=True), epochs=2, **given)
    for _ in range(2):
        for block_X, y, weights in blocks_of(45, weights=True):
            book.fit(block_X, y, epochs=1, sample_weight=weights, **given)
    same(net, book)


def test_records_are_means_over_all_blocks(backend: MakeBackend) -> None:
    nothing = gpunn.SGD(1e-300)
    whole = make().fit(X, Y, epochs=1, optimizer=nothing)[0]
    parts = make().fit(blocks_of(40), epochs=1, optimizer=nothing)[0]
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    assert parts.accuracy == pytest.approx(whole.accuracy)


def test_a_function_makes_a_new_iterator_for_every_epoch() -> None:
    net, book, begun = make(), make(), []

    def blocks() -> Iterator[tuple]:
        begun.append(True)
        yield from blocks_of(30)

    net.fit(blocks, epochs=3)
    book.fit(blocks_of(30), epochs=3)
    same(net, book)
    assert len(begun) == 3


def test_blocks_are_not_modified() -> None:
    blocks = [(np.asfortranarray(block_X), y.copy()) for block_X, y in blocks_of(30)]
    make().fit(blocks, epochs=2)
    for (block_X, y), (expected, labels) in zip(blocks, blocks_of(30), strict=True):
        np.testing.assert_array_equal(block_X, expected)
        np.testing.assert_array_equal(y, labels)


def test_a_buffer_may_be_reused_for_every_block() -> None:
    buffer, labels = np.empty((6, 30), order="F"), np.empty(30, int)

    def blocks() -> Iterator[tuple]:
        for block_X, y in blocks_of(30):
            buffer[:], labels[:] = block_X, y
            yield buffer, labels

    net, book = make(), make()
    net.fit(blocks, epochs=2)
    book.fit(blocks_of(30), epochs=2)
    same(net, book)


@pytest.mark.parametrize(("known", "rates"), [(True, [1.0, 0.75, 0.5, 0.25]), (False, [1.0, 1.0, 0.5, 0.5])])
def test_the_learning_rate_follows_the_blocks_or_the_epochs(known: bool, rates: list[float]) -> None:
    seen: list[float] = []

    def schedule(progress: float) -> float:
        seen.append(1 - progress)
        return 1 - progress

    blocks = blocks_of(45)
    make().fit(blocks if known else lambda: iter(blocks), epochs=2, batch_size=45, schedule=schedule)
    assert seen == rates


def test_blocks_of_many_sizes() -> None:
    sizes = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3]
    blocks = [(X[:, :size], Y[:size]) for size in sizes]
    net, book = make(), make()
    net.fit(blocks, epochs=1, optimizer="sgd")
    for block in blocks:
        book.fit(*block, epochs=1, optimizer="sgd")
    same(net, book)


def test_blocks_work_with_augmentation_dropout_validation_stopping_and_resuming(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "augmentation": gpunn.Augmentation((2, 3), shift=1),
        "validation": (X, Y),
        "stop": gpunn.EarlyStopping(patience=50),
        "checkpoint_every": 1,
    }
    straight, broken = make(input_dropout=0.2), make(input_dropout=0.2)
    straight.fit(blocks_of(40), epochs=5, checkpoint=tmp_path / "a", **settings)
    broken.fit(
        blocks_of(40), epochs=5, checkpoint=tmp_path / "b", **settings, on_epoch_end=lambda r: r.epoch == 2
    )
    resumed = make(input_dropout=0.2)
    history = resumed.fit(blocks_of(40), epochs=5, checkpoint=tmp_path / "b", resume=True, **settings)
    assert np.array_equal(straight.theta, resumed.theta)
    assert history[-1].validation_accuracy is not None


@pytest.mark.parametrize(
    ("blocks", "more", "message"),
    [
        ([], {}, "an epoch had no blocks"),
        (iter(blocks_of(30)), {}, "an iterator can be run through only once"),
        ([X], {}, r"must be a tuple \(X, y\) or \(X, y, sample_weight\), not ndarray"),
        ([(X,)], {}, "not tuple of 1"),
        ([(X.T, Y)], {}, r"X must be \(6, m\)"),
        ([(X, Y), (X, Y[:3])], {}, r"y must be labels \(90,\)"),
        ([(X, RNG.random((3, 90)))], {}, "cross-entropy needs blocks whose targets sum to 1"),
        (blocks_of(30), {"validation": 0.1}, r"pass validation=\(X, y\)"),
        (blocks_of(30), {"sample_weight": WEIGHTS}, "put it into each block"),
        (blocks_of(30), {"class_weight": "balanced"}, "needs all examples at once, not blocks"),
    ],
)
def test_blocks_that_are_refused(blocks: Any, more: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make().fit(blocks, epochs=2, **more)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_mapped_file_and_blocks_train_without_being_loaded_whole(tmp_path: Path) -> None:
    """Train on 200 MB; little more than a block may be in anonymous memory."""
    code = """
import sys, numpy as np, gpunn
from pathlib import Path
def own():
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1]) * 1024
net = gpunn.Network(1000, [gpunn.Dense(10), gpunn.Dense(10)], seed=0)
y = np.arange(200_000) % 10
mapped = np.memmap(sys.argv[1], np.uint8, "r", shape=(1000, 200_000), order="F")
net.fit(mapped[:, :1000], y[:1000], epochs=1, batch_size=1000, device="cpu")
before, peak = own(), 0
def watch(record):
    global peak
    peak = max(peak, own())
if sys.argv[2] == "blocks":
    starts = range(0, 200_000, 20_000)
    blocks = lambda: ((np.array(mapped[:, s:s + 20_000]), y[s:s + 20_000]) for s in starts)
    net.fit(blocks, epochs=1, batch_size=1000, device="cpu", on_epoch_end=watch)
else:
    net.fit(mapped, y, epochs=1, batch_size=1000, device="cpu", on_epoch_end=watch)
print((peak - before) / 2**20)
"""
    np.zeros(200_000_000, np.uint8).tofile(tmp_path / "data")
    for how in ("mapped", "blocks"):
        command = [sys.executable, "-c", code, str(tmp_path / "data"), how]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert float(done.stdout) < 100, how
