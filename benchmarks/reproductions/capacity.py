"""Hidden units and weight decay: what a network can fit, and what it is kept from fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, accuracy

CLAIM = Claim(
    "capacity",
    "Of 3, 6 and 20 hidden units the more fit circles and spirals the better, and of L2 0.001, 0.01 and 0.1 "
    "with 20 units the stronger gives the smoother boundary.",
    "CS231n, Convolutional Neural Networks for Visual Recognition, notes on neural networks 1: setting the "
    "number of layers and their sizes",
)
UNITS, DECAYS = (3, 6, 20), (0.001, 0.01, 0.1)
BATCH = 10  # the notes' pictures are ConvNetJS's, which divides the decay by a mini-batch's ten examples
STARTS = 3  # from other first weights; the one of the lowest cost counts
REACH = 1.6  # the pictures' square, −1.6…1.6
CELLS = 160


@dataclass(frozen=True)
class Fit:
    """A trained network: cost and accuracy on its training points, ‖w‖, its boundary's length, its regions.

    length: in sides of the square that is drawn. regions (CELLS, CELLS): the output, a row for each y.
    """

    cost: float
    accuracy: float
    norm: float
    length: float
    regions: np.ndarray


def measure(folder: Path | None = None) -> Finding:
    """Both point sets under all six networks."""
    data = {"circles": circles(), "spirals": spirals()}
    fits = {name: train_all(X, second) for name, (X, second) in data.items()}
    figures = []
    if folder:
        from benchmarks.reproductions import pictures

        figures.append(pictures.regions(data, fits, REACH, folder / "capacity.png"))
    passed = all(fits_more(found) and smoother(found) for found in fits.values())
    measured = "; ".join(f"{name}: {describe(found)}" for name, found in fits.items())
    return CLAIM.finding(measured, passed, *figures)


def train_all(X: np.ndarray, second: np.ndarray) -> dict[str, Fit]:
    """A fit for each number of units, and for each decay."""
    fits = {f"{n} units": train(X, second, n, 0.0) for n in UNITS}
    return fits | {f"20 units, L2 {decay:g}": train(X, second, 20, decay) for decay in DECAYS}


def train(X: np.ndarray, second: np.ndarray, units: int, decay: float) -> Fit:
    """2-units-1, tanh and sigmoid: the best of some starts."""
    fits = []
    for seed in range(STARTS):
        layers = [gpunn.Dense(units, "tanh", "normal"), gpunn.Dense(1, "sigmoid", "scaled")]
        net = gpunn.Network(2, layers, seed=seed)
        adam = gpunn.Adam(0.01, l2=decay / BATCH)
        net.fit(X, second, epochs=400, batch_size=BATCH, optimizer=adam, device="cpu")
        norm = float(np.sqrt(sum(np.sum(w**2) for w in net.weights)))
        cost, regions = net.evaluate(X, second)[0], outputs(net)
        fits.append(Fit(cost, accuracy(net, X, second), norm, boundary(regions > 0.5), regions))
    return min(fits, key=lambda fit: fit.cost + decay / BATCH / 2 * fit.norm**2)


def decayed(fits: Mapping[str, Fit]) -> list[Fit]:
    """Those of 20 units, from no decay to the strongest."""
    return [fits["20 units"], *(fits[f"20 units, L2 {decay:g}"] for decay in DECAYS)]


def fits_more(fits: Mapping[str, Fit]) -> bool:
    """Whether each step in units lowers the cost."""
    return increasing([-fits[f"{n} units"].cost for n in UNITS])


def smoother(fits: Mapping[str, Fit]) -> bool:
    """Whether stronger decay shrinks the weights at every step, and the strongest shortens the boundary."""
    chain = decayed(fits)
    return increasing([-fit.norm for fit in chain]) and chain[-1].length < chain[0].length


def increasing(values: list[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def describe(fits: Mapping[str, Fit]) -> str:
    """Costs and accuracies by units, norms and boundaries by decay."""
    by_units = ", ".join(f"{fits[f'{n} units'].cost:.1g} ({fits[f'{n} units'].accuracy:.1%})" for n in UNITS)
    norms = ", ".join(f"{fit.norm:.1f}" for fit in decayed(fits))
    lengths = ", ".join(f"{fit.length:.2f}" for fit in decayed(fits))
    return f"cost (accuracy) {by_units}; from no L2 to 0.1: ‖w‖ {norms}, boundary {lengths}"


def outputs(net: gpunn.Network) -> np.ndarray:
    """The outputs over the square, a row for each y, from the bottom."""
    ticks = np.linspace(-REACH, REACH, CELLS)
    x, y = np.meshgrid(ticks, ticks)
    return net.forward(np.vstack([x.ravel(), y.ravel()])).reshape(CELLS, CELLS)


def boundary(above: np.ndarray) -> float:
    """The length of a region's boundary in sides of the square: crossings, times π/4 for their slant."""
    crossings = np.sum(above[1:] != above[:-1]) + np.sum(above[:, 1:] != above[:, :-1])
    return float(crossings / CELLS * np.pi / 4)


def circles(m: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Points (2, m) of two noisy circles, and which are of the inner one (m,)."""
    from sklearn.datasets import make_circles

    rows, inner = make_circles(m, noise=0.12, factor=0.45, random_state=0)
    return rows.T, inner


def spirals(m: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Points (2, m) of two noisy spirals of one turn, and which are of the second (m,)."""
    second = np.arange(m) % 2
    t = np.linspace(0.05, 1, m // 2).repeat(2)
    angle = 2 * np.pi * t + np.pi * second
    noise = 0.07 * np.random.default_rng(0).standard_normal((2, m))
    return 1.3 * t * np.vstack([np.cos(angle), np.sin(angle)]) + noise, second


REPRODUCTION = Reproduction(CLAIM, measure)
