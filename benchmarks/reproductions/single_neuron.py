"""What zeros are good enough for: one neuron, but no hidden layer."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, accuracy

CLAIM = Claim(
    "single-neuron",
    "A single sigmoid neuron that begins with zeros learns on which side of y = 1.23x + 3.23 a point lies, "
    "about 99 % of 2,000 fresh ones; with zeros in a network, the units of a hidden layer all stay equal.",
    "logistic regression as one neuron (a standard exercise); the symmetry: Goodfellow, Bengio and "
    "Courville, Deep Learning, section 8.4",
)
SLOPE, INTERCEPT, SIDE = 1.23, 3.23, 10  # points are drawn from the square −10…10


def measure(folder: Path | None = None) -> Finding:
    """Both halves of the claim, with the same points."""
    rng = np.random.default_rng(0)
    X, above = points(rng, 2000)
    fresh, fresh_above = points(rng, 2000)
    neuron = gpunn.Network(2, [gpunn.Dense(1, "sigmoid", "zeros")], seed=0)
    neuron.fit(X, above, epochs=100, batch_size=10, optimizer=gpunn.SGD(0.1), device="cpu")
    (w_x, w_y), b = neuron.weights[0][0], neuron.biases[0][0, 0]
    right, spread = accuracy(neuron, fresh, fresh_above), apart(X, above)
    measured = (
        f"{right:.2%} of 2,000 fresh points, the line found is y = {-w_x / w_y:.2f}x + {-b / w_y:.2f}; "
        f"the weights of four hidden units end {spread:g} apart"
    )
    return CLAIM.finding(measured, right >= 0.985 and spread == 0)


def points(rng: np.random.Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (2, m) and whether each is above the line (m,)."""
    X = rng.uniform(-SIDE, SIDE, (2, m))
    return X, (X[1] > SLOPE * X[0] + INTERCEPT).astype(int)


def apart(X: np.ndarray, above: np.ndarray) -> float:
    """How far the hidden units' weights lie apart after training from zeros; at least one must have moved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gpunn warns of just this
        net = gpunn.Network(
            2, [gpunn.Dense(4, "sigmoid", "zeros"), gpunn.Dense(1, "sigmoid", "zeros")], seed=0
        )
    net.fit(X, above, epochs=20, batch_size=10, optimizer=gpunn.SGD(0.1), device="cpu")
    units = np.hstack([net.weights[0], net.biases[0], net.weights[1].T])  # a row for each unit
    return float(np.ptp(units, axis=0).max()) if units.any() else float("nan")


REPRODUCTION = Reproduction(CLAIM, measure)
