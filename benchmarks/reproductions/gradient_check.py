"""Finite differences and back-propagation: a forward pass for every weight, or a few passes in all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    dense,
    no_progress,
    parameters,
)

EPSILON = 1e-6
SMALL = (8, 6, 4)
BIG = (784, 1000, 210, 10)  # 996,100 weights
BATCH = 10
CLAIM = Claim(
    "gradient-check",
    "Finite differences (C(w + ε) − C(w)) / ε agree with back-propagation, but a million weights need a "
    "million and one forward passes, whereas back-propagation costs about as much as a few.",
    "Nielsen, Neural Networks and Deep Learning, chapter 2, equation 46, 'In what sense is backpropagation a "
    "fast algorithm?'",
    "the differences agree to 1e-5 of the largest gradient, and back-propagation costs less than "
    "10 forward passes",
    {"ε": EPSILON, "sizes that are differenced": SMALL, "sizes that are timed": BIG, "batch": BATCH},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Compare the gradients on a small network in float64, and time both with a million weights."""
    X, labels = examples(SMALL)
    apart, passes, n = compare(build(SMALL, "float64"), X, labels)
    big = build(BIG, "float32")
    X, labels = examples(BIG)
    forward = fastest(lambda: big.evaluate(X, labels))
    backward = fastest(lambda: big.gradients(X, labels))
    weights = sum(w.size for w in big.weights)
    measured = (
        f"{n} differences agree to {apart:.0e} and take {passes} forward passes; with {weights:,} weights a "
        f"forward pass takes {1e3 * forward:.1f} ms, so all differences take "
        f"{(weights + 1) * forward / 60:.0f} min against {1e3 * backward:.1f} ms for back-propagation "
        f"({backward / forward:.1f} passes)"
    )
    runs = {"apart": apart, "seconds of a pass": forward, "seconds of back-propagation": backward}
    return Finding(measured, apart < 1e-5 and passes == n + 1 and backward < 10 * forward, runs)


def build(sizes: tuple[int, ...], dtype: str) -> gpunn.Network:
    """Build a network of sigmoids with the quadratic cost, as in the book."""
    return gpunn.Network(sizes[0], dense(sizes[1:], "sigmoid", "sigmoid", "scaled"), "quadratic", 0, dtype)


def examples(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Draw a mini-batch for these sizes: X (n_0, m) from N(0, 1), labels (m,)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((sizes[0], BATCH)), rng.integers(0, sizes[-1], BATCH)


def compare(net: gpunn.Network, X: np.ndarray, labels: np.ndarray) -> tuple[float, int, int]:
    """Return the largest relative difference, the forward passes it took and the number of parameters."""
    dw, db = zip(*net.gradients(X, labels), strict=True)
    unmoved, passes, worst = net.evaluate(X, labels)[0], 1, 0.0
    for theta, gradient in zip(parameters(net), [*dw, *db], strict=True):
        for index in np.ndindex(theta.shape):
            kept = theta[index]
            theta[index] = kept + EPSILON
            moved, passes = net.evaluate(X, labels)[0], passes + 1
            theta[index] = kept
            worst = max(worst, abs((moved - unmoved) / EPSILON - gradient[index]))
    largest = max(float(np.abs(g).max()) for g in [*dw, *db])
    return worst / largest, passes, net.parameters


def fastest(work: Callable[[], object], times: int = 9) -> float:
    """Return the shortest of several timings, because other load only adds to them."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


REPRODUCTION = Reproduction(CLAIM, measure)
