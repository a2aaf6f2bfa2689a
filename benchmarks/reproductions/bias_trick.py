"""The bias trick: biases as the weights of an input that is always 1."""

from __future__ import annotations

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
    no_progress,
)

STEPS, ETA = 200, 0.5
CLAIM = Claim(
    "bias-trick",
    "A row of ones appended to the data, in place of biases, gives the same network as biases.",
    "CS231n, Convolutional Neural Networks for Visual Recognition, notes on linear classification: "
    "the bias trick",
    "all weights and biases agree to 1e-10, and every first-layer bias moved",
    {"sizes": [6, 5, 3], "steps": STEPS, "eta": ETA},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Train a 6-5-3 network in float64, with first-layer biases or with a column of weights instead."""
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((6, 90)) + 1, np.arange(90) % 3
    layers = dense((5, 3), "tanh", "softmax", "normal")
    biased = gpunn.Network(6, layers, seed=0, dtype="float64")
    tricked = gpunn.Network(7, layers, dtype="float64")
    set_from(tricked, biased)
    before = [column.copy() for column in in_one(biased)]
    biased.fit(X, labels, epochs=STEPS, batch_size=90, optimizer=gpunn.SGD(ETA), device="cpu")
    train_without_biases(tricked, np.vstack([X, np.ones(90)]), labels)
    apart = largest_difference(in_one(biased), [tricked.weights[0], tricked.weights[1], tricked.biases[1]])
    moved = float(np.abs(biased.biases[0] - before[0][:, -1:]).min())
    measured = (
        f"after {STEPS} steps all weights and biases agree to {apart:.0e}; every first-layer bias moved "
        f"by at least {moved:.2f}"
    )
    return Finding(measured, apart < 1e-10 and moved > 1e-3, {"apart": apart, "moved": moved})


def in_one(net: gpunn.Network) -> list[np.ndarray]:
    """Return [w b] of the first layer (n_1, n_0 + 1), then w and b of the second."""
    return [np.hstack([net.weights[0], net.biases[0]]), net.weights[1], net.biases[1]]


def set_from(tricked: gpunn.Network, biased: gpunn.Network) -> None:
    """Copy the biased network's parameters, with the first biases as the last column of weights."""
    tricked.weights[0][:], tricked.weights[1][:], tricked.biases[1][:] = in_one(biased)
    tricked.biases[0][:] = 0


def train_without_biases(net: gpunn.Network, X: np.ndarray, labels: np.ndarray) -> None:
    """Run gradient descent on the whole batch, leaving the first layer's biases at 0."""
    for _ in range(STEPS):
        (dw, _), (dv, dc) = net.gradients(X, labels)
        net.weights[0][:] -= ETA * dw
        net.weights[1][:] -= ETA * dv
        net.biases[1][:] -= ETA * dc


REPRODUCTION = Reproduction(CLAIM, measure)
