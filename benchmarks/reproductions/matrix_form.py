"""A mini-batch as one matrix, compared with a loop over its examples."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    dense,
    largest_difference,
    mnist,
    no_progress,
    parameters,
)
from gpunn.reference import Textbook

SUBSET, BATCH, ETA, REPEATS = 2_000, 10, 3.0, 3
CLAIM = Claim(
    "nielsen-matrix-form",
    "Back-propagation of a whole mini-batch with matrices gives the same weights as a loop over its "
    "examples, and is about twice as fast.",
    "Nielsen, Neural Networks and Deep Learning, chapter 2, the fully matrix-based approach",
    "the weights agree to 1e-10 after an epoch, and the speed-up is at least 2",
    {"sizes": [784, 30, 10], "examples": SUBSET, "batch": BATCH, "eta": ETA, "repeats": REPEATS},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Train 784-30-10 for an epoch in float64 on a subset of MNIST, both ways, from the same weights."""
    data = mnist()
    X, labels = data.train.X[:, :SUBSET] / 255, data.train.y[:SUBSET]
    seconds: list[tuple[float, float]] = []
    difference = 0.0
    for seed in range(REPEATS):
        progress(f"epoch {seed + 1} of {REPEATS}")
        apart, book, ours = epoch(X, labels, seed)
        difference = max(difference, apart)
        seconds.append((book, ours))
    book, ours = (min(column) for column in zip(*seconds, strict=True))
    measured = (
        f"the weights differ by at most {difference:.0e} after an epoch of {SUBSET:,} examples; "
        f"{book:.2f} s with the loop, {ours:.3f} s with matrices: {book / ours:.0f} times as fast"
    )
    runs = {"seconds by example, as matrices": [[round(s, 4) for s in pair] for pair in seconds]}
    return Finding(measured, difference < 1e-10 and book / ours >= 2, runs)


def epoch(X: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Return the largest difference of the weights, and the seconds of the loop and of the matrices."""
    layers = dense((30, 10), "sigmoid", "sigmoid", "normal")
    net = gpunn.Network(784, layers, "quadratic", seed, "float64")
    book = Textbook([w.copy() for w in net.weights], [b.copy() for b in net.biases], ["sigmoid"] * 2)
    order = copy.deepcopy(net.rng).permutation(len(labels))  # the order that fit will draw
    start = time.perf_counter()
    book.epoch(X, np.eye(10)[:, labels], order, BATCH, ETA)
    loop = time.perf_counter() - start
    history = net.fit(X, labels, epochs=1, batch_size=BATCH, optimizer=gpunn.SGD(ETA), device="cpu")
    return largest_difference(parameters(net), book.weights + book.biases), loop, history.seconds


REPRODUCTION = Reproduction(CLAIM, measure)
