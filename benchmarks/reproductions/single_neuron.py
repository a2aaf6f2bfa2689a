"""Initialisation with zeros: enough for a single neuron, but not for a hidden layer."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    accuracy,
    no_progress,
    spread,
)

SLOPE, INTERCEPT, SIDE, POINTS = 1.23, 3.23, 10, 2000  # points are drawn from the square −10…10
EPOCHS, BATCH, ETA = 100, 10, 0.1
DRAWS = 10  # number of draws of the points
CLAIM = Claim(
    "single-neuron",
    "A single sigmoid neuron initialised with zeros learns on which side of y = 1.23x + 3.23 a point lies, "
    "for about 99 % of 2,000 new points; in a network initialised with zeros, all units of a hidden layer "
    "stay equal.",
    "logistic regression as one neuron (a standard exercise); the symmetry: Goodfellow, Bengio and "
    "Courville, Deep Learning, section 8.4",
    f"the median accuracy over {DRAWS} draws of the points is at least 98.5 %, and the hidden units end "
    "exactly equal",
    {"points": POINTS, "epochs": EPOCHS, "batch": BATCH, "eta": ETA, "draws": DRAWS},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure both halves of the claim on the same points."""
    right, between = [], []
    for seed in range(DRAWS):
        progress(f"draw {seed + 1} of {DRAWS}")
        rng = np.random.default_rng(seed)
        X, above = points(rng, POINTS)
        neuron = gpunn.Network(2, [gpunn.Dense(1, "sigmoid", "zeros")], seed=0)
        neuron.fit(X, above, epochs=EPOCHS, batch_size=BATCH, optimizer=gpunn.SGD(ETA), device="cpu")
        right.append(100 * accuracy(neuron, *points(rng, POINTS)))
        between.append(difference_between_units(X, above))
    (w_x, w_y), b = neuron.weights[0][0], neuron.biases[0][0, 0]
    measured = (
        f"{spread(np.array(right), '{:.2f} %')} on 2,000 new points; the last line found is "
        f"y = {-w_x / w_y:.2f}x + {-b / w_y:.2f}; the weights of the four hidden units end "
        f"{max(between):g} apart"
    )
    runs = {"accuracies in percent": np.round(right, 2).tolist(), "hidden units apart": between}
    return Finding(measured, bool(np.median(right) >= 98.5 and max(between) == 0), runs)


def points(rng: np.random.Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw points (2, m), and whether each is above the line (m,)."""
    X = rng.uniform(-SIDE, SIDE, (2, m))
    return X, (X[1] > SLOPE * X[0] + INTERCEPT).astype(int)


def difference_between_units(X: np.ndarray, above: np.ndarray) -> float:
    """Train from zeros and return the largest difference between hidden units; ∞ if no weight moved."""
    layers = [gpunn.Dense(4, "sigmoid", "zeros"), gpunn.Dense(1, "sigmoid", "zeros")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gpunn warns about exactly this
        net = gpunn.Network(2, layers, seed=0)
    net.fit(X, above, epochs=20, batch_size=BATCH, optimizer=gpunn.SGD(ETA), device="cpu")
    units = np.hstack([net.weights[0], net.biases[0], net.weights[1].T])  # a row for each unit
    return float(np.ptp(units, axis=0).max()) if units.any() else float("inf")


REPRODUCTION = Reproduction(CLAIM, measure)
