"""What is done to the data before training, and what that is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction

CLAIM = Claim(
    "preprocessing",
    "Zero-centring, normalising and whitening by PCA turn correlated data into data whose covariance is the "
    "identity, and gradient descent on it reaches the least squares far sooner.",
    "CS231n, Convolutional Neural Networks for Visual Recognition, notes on neural networks 2: data "
    "preprocessing; LeCun et al. 1998, Efficient BackProp, sections 4.3 and 5",
)
EPOCHS = 1000  # at most, each of one step over all examples
WITHIN = 1.05  # of the least squares' cost
RATES = tuple(m * 10.0**k for k in range(-8, 1) for m in (1, 3))


def measure(folder: Path | None = None) -> Finding:
    """Covariances, and how long one linear neuron learns, at the best learning rate of each preparation."""
    X, y = table()
    prepared = {name: step.fit_transform(X) if step else X for name, step in pipelines().items()}
    target = WITHIN * least_squares(X, y)
    costs = {name: best_costs(rows.T, y, target) for name, rows in prepared.items()}
    needed = {name: epochs_needed(by_epoch, target) for name, by_epoch in costs.items()}
    figures = []
    if folder:
        from benchmarks.reproductions import pictures

        figures.append(pictures.costs(costs, target, folder / "preprocessing.png"))
    off = {name: from_identity(rows) for name, rows in prepared.items()}
    epochs = ", ".join(f"{name} {n or f'over {EPOCHS:,}'}" for name, n in needed.items())
    measured = (
        f"whitened, the covariance is within {off['whitened']:.0e} of the identity (normalised "
        f"{off['normalised']:.1g}); epochs to within 5 % of the least squares: {epochs}"
    )
    raw, centred, normalised, whitened = (n or EPOCHS + 1 for n in needed.values())
    faster = whitened < normalised <= min(raw, centred) and whitened < EPOCHS
    return CLAIM.finding(measured, off["whitened"] < 1e-9 < off["normalised"] and faster, *figures)


def table() -> tuple[np.ndarray, np.ndarray]:
    """Rows (569, 30) and classes 0 or 1 of the Wisconsin breast cancer table (UCI), from scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data, data.target.astype(float)


def pipelines() -> dict[str, Any]:
    """Preparations by name, each with all that the one before it does; None leaves the data as they are."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "raw": None,
        "centred": StandardScaler(with_std=False),
        "normalised": StandardScaler(),
        "whitened": make_pipeline(StandardScaler(), PCA(whiten=True)),
    }


def from_identity(rows: np.ndarray) -> float:
    """How far the covariance of rows (m, n) is from the identity, at most."""
    return float(np.abs(np.cov(rows, rowvar=False) - np.eye(rows.shape[1])).max())


def least_squares(rows: np.ndarray, y: np.ndarray) -> float:
    """The lowest cost, the mean of (a − y)²/2, that any weights and bias can have; the same for all."""
    ones = np.column_stack([rows / np.abs(rows).max(axis=0), np.ones(len(rows))])
    found = np.linalg.lstsq(ones, y, rcond=None)[0]
    return float(np.mean((ones @ found - y) ** 2) / 2)


def best_costs(X: np.ndarray, y: np.ndarray, target: float) -> list[float]:
    """The cost by epoch at the learning rate that gets to the target first, or else lowest."""
    runs = [costs for eta in RATES if (costs := train(X, y, eta))]
    return min(runs, key=lambda costs: (epochs_needed(costs, target) or EPOCHS + 1, costs[-1]))


def train(X: np.ndarray, y: np.ndarray, eta: float) -> list[float]:
    """One linear neuron from zeros, in float64: the cost before each epoch's step; none if it diverges."""
    net = gpunn.Network(len(X), [gpunn.Dense(1, "identity", "zeros")], "quadratic", 0, "float64")
    try:
        with np.errstate(over="ignore"):
            history = net.fit(X, y, epochs=EPOCHS, batch_size=len(y), optimizer=gpunn.SGD(eta), device="cpu")
    except gpunn.Diverged:
        return []
    return [record.loss for record in history]


def epochs_needed(costs: list[float], target: float) -> int | None:
    """The first epoch that brings the cost to the target; None where none does."""
    return next((epoch for epoch, cost in enumerate(costs) if cost <= target), None)


REPRODUCTION = Reproduction(CLAIM, measure)
