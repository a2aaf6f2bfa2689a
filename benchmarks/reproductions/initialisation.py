"""The size of the activations, layer by layer, before training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions import pictures
from benchmarks.reproductions.common import Claim, Finding, Progress, Reproduction, in_training, no_progress

WIDTH, DEPTH, EXAMPLES = 500, 10, 1000
# bounds on the standard deviation of the tenth layer relative to the first
PERSISTS, VANISHES = 0.2, 0.1
SETTINGS = {"layers": DEPTH, "units": WIDTH, "inputs of N(0, 1)": EXAMPLES, "seed": 0}
CLAIM = Claim(
    "initialisation",
    "Over ten layers, activations vanish with weights from 0.01·N(0, 1). With 1/√n and Glorot initialisation "
    "they persist with tanh but not with ReLU; with He's √(2/n) they persist with ReLU.",
    "CS231n, notes on neural networks 2 and lecture on training; Glorot and Bengio 2010; He et al. 2015",
    f"the standard deviation of the tenth layer, relative to the first, is above {PERSISTS} where "
    f"activations should persist and below {VANISHES} where they should vanish",
    SETTINGS,
)
NORMALISED = Claim(
    "initialisation-batch-norm",
    "With batch normalisation, activations persist over ten layers with each of the four initialisations "
    "0.01·N(0, 1), 1/√n, Glorot and He.",
    "Ioffe and Szegedy 2015; CS231n, notes on neural networks 2",
    f"with tanh and ReLU and all four initialisations, the standard deviation of the tenth layer is above "
    f"{PERSISTS} of the first layer's",
    SETTINGS,
)
Draw = Callable[[np.random.Generator, int], np.ndarray]
ByDepth = dict[tuple[str, str], list[float]]  # standard deviations by activation and initialisation


def initialiser(name: str) -> Draw:
    """Return a function that draws weights (n, n) with one of gpunn's initialisers."""
    return lambda rng, n: gpunn.INITIALIZERS[name](rng, n, n)[0]


SCHEMES: dict[str, Draw] = {
    "0.01·N": lambda rng, n: 0.01 * rng.standard_normal((n, n)),
    "1/√n": lambda rng, n: rng.standard_normal((n, n)) / math.sqrt(n),
    "Glorot": initialiser("glorot"),
    "He": initialiser("he"),
}


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the activations without batch normalisation."""
    found = all_deviations(False, progress)
    return finding(found, holds(kept(found)), "without", folder, "initialisation.png")


def measure_normalised(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the activations in training mode, normalised by the mini-batch's mean and variance."""
    found = all_deviations(True, progress)
    persists = all(share > PERSISTS for share in kept(found).values())
    return finding(found, persists, "with", folder, "initialisation-batch-norm.png")


def all_deviations(batch_norm: bool, progress: Progress) -> ByDepth:
    """Return the standard deviations by depth for each activation and initialisation."""
    found = {}
    for f in ("tanh", "relu"):
        for name, draw in SCHEMES.items():
            progress(f"{f}, {name}")
            found[f, name] = deviations(f, draw, batch_norm)
    return found


def deviations(activation: str, draw: Draw, batch_norm: bool) -> list[float]:
    """Return the standard deviations of a[1]…a[10]; each layer is a separate network that shows its a[l]."""
    rng = np.random.default_rng(0)
    a: np.ndarray = rng.standard_normal((WIDTH, EXAMPLES))
    found = []
    for _ in range(DEPTH):
        a = layer(a, activation, draw(rng, WIDTH), batch_norm)
        found.append(float(a.std()))
    return found


def layer(a: np.ndarray, activation: str, w: np.ndarray, batch_norm: bool) -> np.ndarray:
    """Return a layer's activations in training mode, for one mini-batch of inputs a and weights w.

    Only hidden layers are normalised, so an identity output layer follows.
    """
    n = len(w)
    hidden = gpunn.Dense(n, activation, batch_norm=batch_norm)
    net = gpunn.Network(n, [hidden, gpunn.Dense(n, "identity", "zeros")], seed=0)
    net.weights[0][:], net.biases[0][:], net.weights[1][:] = w, 0, np.eye(n)
    return in_training(net, a)


def kept(found: ByDepth) -> dict[tuple[str, str], float]:
    """Return the standard deviation of the tenth layer relative to the first."""
    return {key: by_depth[-1] / by_depth[0] for key, by_depth in found.items()}


def holds(share: Mapping[tuple[str, str], float]) -> bool:
    """Return True if activations persist and vanish as claimed."""
    persisting = [("tanh", "1/√n"), ("tanh", "Glorot"), ("relu", "He")]
    vanishing = [("tanh", "0.01·N"), ("relu", "0.01·N"), ("relu", "1/√n"), ("relu", "Glorot")]
    return all(share[key] > PERSISTS for key in persisting) and all(
        share[key] < VANISHES for key in vanishing
    )


def finding(found: ByDepth, passed: bool, normed: str, folder: Path | None, picture: str) -> Finding:
    """Describe and draw the results; normed is "with" or "without" batch normalisation."""
    share = kept(found)
    parts = [
        f"{f} " + ", ".join(f"{name} {share[f, name]:.1g}" for name in SCHEMES) for f in ("tanh", "relu")
    ]
    figures: tuple[Path, ...] = ()
    if folder:
        figures = (pictures.deviations(found, normed, folder / picture),)
    runs = {f"{f}, {name}": [float(f"{d:.3g}") for d in by_depth] for (f, name), by_depth in found.items()}
    return Finding(
        f"standard deviation of the tenth layer relative to the first: {'; '.join(parts)}",
        passed,
        runs,
        figures,
    )


REPRODUCTION = Reproduction(CLAIM, measure)
NORMALISED_REPRODUCTION = Reproduction(NORMALISED, measure_normalised)
