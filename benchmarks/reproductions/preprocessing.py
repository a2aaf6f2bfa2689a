"""Preprocessing of the data and its effect on training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from benchmarks.reproductions import pictures
from benchmarks.reproductions.common import Claim, Finding, Progress, Reproduction, dense, no_progress

WITHIN = 1.05  # target, as a multiple of the least-squares cost
EPOCHS = 1000  # at most; an epoch is one step on all examples
COST, NETWORK_EPOCHS, SEEDS = 0.1, 500, 3
RATES = tuple(m * 10.0**k for k in range(-8, 2) for m in (1, 3))  # wide enough that no best rate is at an end
TABLE = "Wisconsin breast cancer (UCI): 569 examples, 30 features"
SOURCE = (
    "CS231n, notes on neural networks 2: data preprocessing; LeCun et al. 1998, Efficient BackProp, "
    "sections 4.3 and 5"
)
ORDER = "whitened data need fewer epochs than normalised data, which need no more than raw or centred data"
CLAIM = Claim(
    "preprocessing",
    "Centring, normalising and PCA whitening turn correlated data into data whose covariance is the "
    "identity, on which gradient descent brings a linear neuron to the least-squares solution in far fewer "
    "epochs.",
    SOURCE,
    f"the covariance of whitened data is the identity to 1e-9, and to come within 5 % of the least-squares "
    f"cost, each at its best learning rate, {ORDER}",
    {"data": TABLE, "epochs at most": EPOCHS, "learning rates": RATES},
)
NETWORK = Claim(
    "preprocessing-network",
    "A network with a hidden layer also learns faster with each further step of preprocessing: centring, "
    "normalising and whitening.",
    SOURCE,
    f"to reach a cross-entropy of {COST} with a 30-10-1 network (tanh, sigmoid), each at its best learning "
    f"rate, in the median over {SEEDS} initialisations, {ORDER}",
    {"data": TABLE, "epochs at most": NETWORK_EPOCHS, "seeds": SEEDS, "learning rates": RATES},
)
Needed = Mapping[str, float]  # epochs by preprocessing; ∞ if the target is not reached


@dataclass(frozen=True)
class Run:
    """The cost before each epoch's step, and the first epoch that reaches the target (∞ if none does)."""

    eta: float
    costs: list[float]
    needed: float


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the covariances, and the epochs that a linear neuron needs from zeros in float64."""
    y, prepared = preprocessed()
    target = WITHIN * least_squares(prepared["raw"], y)

    def neuron() -> gpunn.Network:
        return gpunn.Network(30, [gpunn.Dense(1, "identity", "zeros")], "quadratic", 0, "float64")

    best = by_preprocessing(neuron, prepared, y, target, EPOCHS, progress)
    needed = {name: run.needed for name, run in best.items()}
    off = {name: from_identity(rows) for name, rows in prepared.items()}
    measured = (
        f"the covariance of whitened data is within {off['whitened']:.0e} of the identity (normalised: "
        f"{off['normalised']:.1g}); epochs to within 5 % of the least-squares cost: {listed(needed, EPOCHS)}"
    )
    passed = off["whitened"] < 1e-9 < off["normalised"] and in_order(needed)
    runs = {"from the identity": off, "best": rates(best)}
    return Finding(measured, passed, runs, draw(best, target, folder))


def draw(best: Mapping[str, Run], target: float, folder: Path | None) -> tuple[Path, ...]:
    """Draw the costs by epoch, if there is a folder."""
    if not folder:
        return ()
    costs = {name: run.costs for name, run in best.items()}
    return (pictures.costs(costs, target, folder / "preprocessing.png"),)


def measure_network(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the epochs that a network with a hidden layer needs, from several initialisations."""
    y, prepared = preprocessed()

    def network(seed: int) -> gpunn.Network:
        return gpunn.Network(30, dense((10, 1), "tanh", "sigmoid"), seed=seed, dtype="float64")

    by_seed = [
        by_preprocessing(partial(network, seed), prepared, y, COST, NETWORK_EPOCHS, progress)
        for seed in range(SEEDS)
    ]
    medians = {name: float(np.median([best[name].needed for best in by_seed])) for name in prepared}
    measured = f"epochs to a cross-entropy of {COST}: {listed(medians, NETWORK_EPOCHS)}"
    runs = {f"seed {seed}": rates(best) for seed, best in enumerate(by_seed)}
    return Finding(measured, in_order(medians), runs)


def in_order(needed: Needed) -> bool:
    """Return True if the preprocessing steps help in the claimed order."""
    return needed["whitened"] < needed["normalised"] <= min(needed["raw"], needed["centred"])


def listed(needed: Needed, most: int) -> str:
    return ", ".join(f"{name} {f'{n:g}' if n < math.inf else f'over {most:,}'}" for name, n in needed.items())


def preprocessed() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the breast cancer table: classes 0 or 1 (569,), and rows (569, 30) by preprocessing."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rows = {name: step.fit_transform(data.data) for name, step in pipelines().items()}
    return data.target.astype(float), {"raw": data.data} | rows


def pipelines() -> dict[str, Any]:
    """Return the preprocessing steps by name; each includes the one before."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "centred": StandardScaler(with_std=False),
        "normalised": StandardScaler(),
        "whitened": make_pipeline(StandardScaler(), PCA(whiten=True)),
    }


def from_identity(rows: np.ndarray) -> float:
    """Return the largest difference between the covariance of rows (m, n) and the identity."""
    return float(np.abs(np.cov(rows, rowvar=False) - np.eye(rows.shape[1])).max())


def least_squares(rows: np.ndarray, y: np.ndarray) -> float:
    """Return the lowest cost, the mean of (a − y)²/2, that any weights and bias can reach."""
    ones = np.column_stack([rows / np.abs(rows).max(axis=0), np.ones(len(rows))])
    found = np.linalg.lstsq(ones, y, rcond=None)[0]
    return float(np.mean((ones @ found - y) ** 2) / 2)


def by_preprocessing(
    build: Callable[[], gpunn.Network],
    prepared: Mapping[str, np.ndarray],
    y: np.ndarray,
    target: float,
    epochs: int,
    progress: Progress,
) -> dict[str, Run]:
    """Return each preprocessing's best run: first to reach the target, otherwise lowest in cost."""
    best = {}
    for name, rows in prepared.items():
        progress(name)
        runs = [run for eta in RATES if (run := train(build(), rows.T, y, eta, target, epochs)).costs]
        best[name] = min(runs, key=lambda run: (run.needed, run.costs[-1]))
    return best


def train(net: gpunn.Network, X: np.ndarray, y: np.ndarray, eta: float, target: float, epochs: int) -> Run:
    """Run gradient descent on all examples at once; a diverging run has no costs."""
    try:
        with np.errstate(over="ignore"):
            history = net.fit(X, y, epochs=epochs, batch_size=len(y), optimizer=gpunn.SGD(eta), device="cpu")
    except gpunn.Diverged:
        return Run(eta, [], math.inf)
    costs = [record.loss for record in history]
    needed = next((float(epoch) for epoch, cost in enumerate(costs) if cost <= target), math.inf)
    return Run(eta, costs, needed)


def rates(best: Mapping[str, Run]) -> dict[str, dict[str, float | None]]:
    """Return the best learning rates and their epochs for JSON; None if the target is not reached."""
    return {
        name: {"eta": run.eta, "epochs": run.needed if run.needed < math.inf else None}
        for name, run in best.items()
    }


REPRODUCTION = Reproduction(CLAIM, measure)
NETWORK_REPRODUCTION = Reproduction(NETWORK, measure_network)
