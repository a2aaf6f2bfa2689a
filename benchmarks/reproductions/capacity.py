"""Hidden units and weight decay: how they affect what a network can fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions import pictures
from benchmarks.reproductions.common import Claim, Finding, Progress, Reproduction, accuracy, no_progress
from benchmarks.reproductions.points import Fit, Points

UNITS, DECAYS = (3, 6, 20), (0.001, 0.01, 0.1)
ETA, MOMENTUM, BATCH = 0.01, 0.1, 10  # of the demonstration, which also divides the decay by the batch size
EPOCHS = 5000  # the demonstration trains until its window is closed
DRAWS = 5  # number of draws of points and initial weights
REACH = 5.5  # the figures show the square −5.5…5.5
CELLS = 120
CLAIM = Claim(
    "capacity",
    "On circles and spirals, networks of 3, 6 and 20 hidden units fit better the more units they have, and "
    "with 20 units the decision regions become smoother as L2 grows from 0.001 to 0.01 and 0.1.",
    "CS231n, notes on neural networks 1, and the ConvNetJS demonstration that its figures come from, with "
    "its points, initial weights and trainer",
    f"on both data sets, in the median over {DRAWS} draws of points and weights, the training cost falls "
    "with each increase in units, and the mean length of the output's contours falls with each increase "
    "in L2",
    {"eta": ETA, "momentum": MOMENTUM, "batch": BATCH, "epochs": EPOCHS, "draws": DRAWS},
)
Fits = Mapping[str, Sequence[Fit]]  # the fits of each network, one per draw


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Train all six networks on both point sets."""
    fits = {name: train_all(name, draw, progress) for name, draw in SETS.items()}
    figures: tuple[Path, ...] = ()
    if folder:
        data = {name: draw(np.random.default_rng(0)) for name, draw in SETS.items()}
        first = {name: {title: fit[0] for title, fit in found.items()} for name, found in fits.items()}
        figures = (pictures.regions(data, first, REACH, folder / "capacity.png"),)
    measured = "; ".join(f"{name}: {describe(found)}" for name, found in fits.items())
    broken = [f"units on {name}" for name, found in fits.items() if not falling(costs(found))]
    broken += [f"L2 on {name}" for name, found in fits.items() if not falling(lengths(found))]
    measured += f"; does not hold for {' and '.join(broken)}" if broken else ""
    return Finding(measured, not broken, {name: figures_of(found) for name, found in fits.items()}, figures)


def train_all(name: str, draw: Callable[[np.random.Generator], Points], progress: Progress) -> Fits:
    """Train a network for each number of units and each decay, on every draw."""
    networks = {f"{n} units": (n, 0.0) for n in UNITS}
    networks |= {f"20 units, L2 {decay:g}": (20, decay) for decay in DECAYS}
    fits: dict[str, list[Fit]] = {title: [] for title in networks}
    for seed in range(DRAWS):
        X, first = draw(np.random.default_rng(seed))
        for title, (units, decay) in networks.items():
            progress(f"{name}, draw {seed + 1} of {DRAWS}, {title}")
            fits[title].append(train(X, first, units, decay, seed))
    return fits


def train(X: np.ndarray, first: np.ndarray, units: int, decay: float, seed: int) -> Fit:
    """Train a 2-units-2 network, tanh and softmax, with weights from N(0, 1/n) and biases 0."""
    layers = [gpunn.Dense(units, "tanh", "scaled"), gpunn.Dense(2, "softmax", "scaled")]
    net = gpunn.Network(2, layers, seed=seed)
    for b in net.biases:
        b[:] = 0
    optimizer = gpunn.Momentum(ETA, MOMENTUM, l2=decay / BATCH)
    net.fit(X, first, epochs=EPOCHS, batch_size=BATCH, optimizer=optimizer, device="cpu")
    regions = outputs(net)
    return Fit(net.evaluate(X, first)[0], accuracy(net, X, first), variation(regions), regions)


def costs(fits: Fits) -> list[float]:
    """Return the median cost for each number of units."""
    return [float(np.median([fit.cost for fit in fits[f"{n} units"]])) for n in UNITS]


def lengths(fits: Fits) -> list[float]:
    """Return the median contour length for each decay."""
    return [float(np.median([fit.length for fit in fits[f"20 units, L2 {d:g}"]])) for d in DECAYS]


def falling(values: Sequence[float]) -> bool:
    return all(a > b for a, b in pairwise(values))


def describe(fits: Fits) -> str:
    """Describe the median costs by units and the median contour lengths by decay."""
    by_units = ", ".join(f"{cost:.2g}" for cost in costs(fits))
    by_decay = ", ".join(f"{length:.2f}" for length in lengths(fits))
    return f"cost {by_units} with 3, 6, 20 units; contour lengths {by_decay} sides with L2 0.001, 0.01, 0.1"


def figures_of(fits: Fits) -> dict[str, list[list[float]]]:
    """Return the cost, accuracy and contour length of every fit, for JSON."""
    return {
        title: [[float(f"{value:.3g}") for value in (fit.cost, fit.accuracy, fit.length)] for fit in found]
        for title, found in fits.items()
    }


def outputs(net: gpunn.Network) -> np.ndarray:
    """Return the first class's output over the square, with a row for each y, from the bottom up."""
    ticks = np.linspace(-REACH, REACH, CELLS)
    x, y = np.meshgrid(ticks, ticks)
    return net.forward(np.vstack([x.ravel(), y.ravel()]))[1].reshape(CELLS, CELLS)


def variation(regions: np.ndarray) -> float:
    """Return the mean contour length over all levels 0…1, in sides: ∫ |∇a| (coarea formula)."""
    by_y, by_x = np.gradient(regions, 1 / (CELLS - 1))
    return float(np.hypot(by_x, by_y).mean())


def circles(rng: np.random.Generator) -> Points:
    """Draw fifty points in a disc of radius 2 and fifty in a ring of radius 3 to 5."""
    r = np.concatenate([rng.uniform(0, 2, 50), rng.uniform(3, 5, 50)])
    t = np.concatenate([rng.uniform(0, 2 * np.pi, 50), 2 * np.pi * np.arange(50) / 50])
    return r * np.vstack([np.sin(t), np.cos(t)]), (np.arange(100) < 50).astype(int)


def spirals(rng: np.random.Generator) -> Points:
    """Draw two spirals of a hundred points and one and a quarter turns, half a turn apart."""
    along = np.tile(np.arange(100) / 100, 2)
    r = 5 * along + rng.uniform(-0.1, 0.1, 200)
    t = 2.5 * np.pi * along + np.repeat([0, np.pi], 100) + rng.uniform(-0.1, 0.1, 200)
    return r * np.vstack([np.sin(t), np.cos(t)]), (np.arange(200) < 100).astype(int)


SETS = {"circles": circles, "spirals": spirals}
REPRODUCTION = Reproduction(CLAIM, measure)
