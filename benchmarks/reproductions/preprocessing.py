"""What is done to the data before training, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, Say, dense, silent

WITHIN, EPOCHS = 1.05, 1000  # of the least squares' cost; at most, each of one step over all examples
COST, NETWORK_EPOCHS, SEEDS = 0.1, 500, 3
RATES = tuple(m * 10.0**k for k in range(-8, 2) for m in (1, 3))  # so wide that no best is at an end
TABLE = "Wisconsin breast cancer (UCI): 569 examples, 30 features"
SOURCE = (
    "CS231n, notes on neural networks 2: data preprocessing; LeCun et al. 1998, Efficient BackProp, "
    "sections 4.3 and 5"
)
ORDER = "whitened data need fewer epochs than normalised ones, and those no more than raw or centred ones"
CLAIM = Claim(
    "preprocessing",
    "Zero-centring, normalising and whitening by PCA turn correlated data into data whose covariance is the "
    "identity, and gradient descent on it brings a linear neuron to the least squares far sooner.",
    SOURCE,
    f"whitened, the covariance is the identity to 1e-9; to within 5 % of the least squares, each at its best "
    f"learning rate, {ORDER}",
    {"data": TABLE, "epochs at most": EPOCHS, "learning rates": RATES},
)
NETWORK = Claim(
    "preprocessing-network",
    "A network with a hidden layer, too, learns the faster the more of these preparations its data have had.",
    SOURCE,
    f"to a cross-entropy of {COST}, 30-10-1 (tanh, sigmoid), each at its best learning rate, in the median "
    f"of {SEEDS} first weights, {ORDER}",
    {"data": TABLE, "epochs at most": NETWORK_EPOCHS, "seeds": SEEDS, "learning rates": RATES},
)
Needed = Mapping[str, float]  # epochs by preparation; ∞ where the target is not reached


@dataclass(frozen=True)
class Run:
    """The cost before each epoch's step, and the first epoch at which it is at the target, or ∞."""

    eta: float
    costs: list[float]
    needed: float


def measure(folder: Path | None = None, say: Say = silent) -> Finding:
    """Covariances, and how long one linear neuron learns from zeros, in float64."""
    y, prepared = preparations()
    target = WITHIN * least_squares(prepared["raw"], y)

    def neuron() -> gpunn.Network:
        return gpunn.Network(30, [gpunn.Dense(1, "identity", "zeros")], "quadratic", 0, "float64")

    best = by_preparation(neuron, prepared, y, target, EPOCHS, say)
    needed = {name: run.needed for name, run in best.items()}
    off = {name: from_identity(rows) for name, rows in prepared.items()}
    measured = (
        f"whitened, the covariance is within {off['whitened']:.0e} of the identity (normalised "
        f"{off['normalised']:.1g}); epochs to within 5 % of the least squares: {listed(needed, EPOCHS)}"
    )
    passed = off["whitened"] < 1e-9 < off["normalised"] and in_order(needed)
    runs = {"from the identity": off, "best": rates(best)}
    return Finding(measured, passed, runs, draw(best, target, folder))


def draw(best: Mapping[str, Run], target: float, folder: Path | None) -> tuple[Path, ...]:
    """The costs by epoch."""
    if not folder:
        return ()
    from benchmarks.reproductions import pictures

    costs = {name: run.costs for name, run in best.items()}
    return (pictures.costs(costs, target, folder / "preprocessing.png"),)


def measure_network(folder: Path | None = None, say: Say = silent) -> Finding:
    """How long a network with a hidden layer learns, from several first weights."""
    y, prepared = preparations()

    def network(seed: int) -> gpunn.Network:
        return gpunn.Network(30, dense((10, 1), "tanh", "sigmoid"), seed=seed, dtype="float64")

    by_seed = [
        by_preparation(partial(network, seed), prepared, y, COST, NETWORK_EPOCHS, say)
        for seed in range(SEEDS)
    ]
    medians = {name: float(np.median([best[name].needed for best in by_seed])) for name in prepared}
    measured = f"epochs to a cross-entropy of {COST}: {listed(medians, NETWORK_EPOCHS)}"
    runs = {f"seed {seed}": rates(best) for seed, best in enumerate(by_seed)}
    return Finding(measured, in_order(medians), runs)


def in_order(needed: Needed) -> bool:
    """Whether the preparations are worth what is claimed."""
    return needed["whitened"] < needed["normalised"] <= min(needed["raw"], needed["centred"])


def listed(needed: Needed, most: int) -> str:
    return ", ".join(f"{name} {f'{n:g}' if n < math.inf else f'over {most:,}'}" for name, n in needed.items())


def preparations() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Classes 0 or 1 (569,) of the breast cancer table, and its rows (569, 30) by preparation."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rows = {name: step.fit_transform(data.data) for name, step in pipelines().items()}
    return data.target.astype(float), {"raw": data.data} | rows


def pipelines() -> dict[str, Any]:
    """Preparations by name, each with all that the one before it does."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
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


def by_preparation(
    build: Callable[[], gpunn.Network],
    prepared: Mapping[str, np.ndarray],
    y: np.ndarray,
    target: float,
    epochs: int,
    say: Say,
) -> dict[str, Run]:
    """For each preparation, the run at the learning rate that gets to the target first, or else lowest."""
    best = {}
    for name, rows in prepared.items():
        say(name)
        runs = [run for eta in RATES if (run := train(build(), rows.T, y, eta, target, epochs)).costs]
        best[name] = min(runs, key=lambda run: (run.needed, run.costs[-1]))
    return best


def train(net: gpunn.Network, X: np.ndarray, y: np.ndarray, eta: float, target: float, epochs: int) -> Run:
    """Gradient descent on all examples at once; no costs if it diverges."""
    try:
        with np.errstate(over="ignore"):
            history = net.fit(X, y, epochs=epochs, batch_size=len(y), optimizer=gpunn.SGD(eta), device="cpu")
    except gpunn.Diverged:
        return Run(eta, [], math.inf)
    costs = [record.loss for record in history]
    needed = next((float(epoch) for epoch, cost in enumerate(costs) if cost <= target), math.inf)
    return Run(eta, costs, needed)


def rates(best: Mapping[str, Run]) -> dict[str, dict[str, float | None]]:
    """The best learning rates and the epochs they need, for JSON; None where the target is not reached."""
    return {
        name: {"eta": run.eta, "epochs": run.needed if run.needed < math.inf else None}
        for name, run in best.items()
    }


REPRODUCTION = Reproduction(CLAIM, measure)
NETWORK_REPRODUCTION = Reproduction(NETWORK, measure_network)
