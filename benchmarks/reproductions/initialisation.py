"""How large the activations are, layer by layer, before anything is learnt."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction

CLAIM = Claim(
    "initialisation",
    "Through ten layers, weights of 0.01·N(0, 1) let the activations die out; 1/√n and Glorot's keep them "
    "alive with tanh but not with ReLU; He's √(2/n) keeps them with ReLU.",
    "CS231n, Convolutional Neural Networks for Visual Recognition, notes on neural networks 2 and lecture "
    "on training; Glorot and Bengio 2010; He et al. 2015",
)
WIDTH, DEPTH, EXAMPLES = 500, 10, 1000
Draw = Callable[[np.random.Generator, int], np.ndarray]


def gpunns(name: str) -> Draw:
    """The weights (n, n) of one of gpunn's own initialisers."""
    return lambda rng, n: gpunn.INITIALIZERS[name](rng, n, n)[0]


SCHEMES: dict[str, Draw] = {
    "0.01·N": lambda rng, n: 0.01 * rng.standard_normal((n, n)),
    "1/√n": lambda rng, n: rng.standard_normal((n, n)) / math.sqrt(n),
    "Glorot": gpunns("glorot"),
    "He": gpunns("he"),
}


def measure(folder: Path | None = None) -> Finding:
    """The activations' standard deviation by depth, for inputs of N(0, 1)."""
    found = {(f, name): deviations(f, draw) for f in ("tanh", "relu") for name, draw in SCHEMES.items()}
    kept = {key: by_depth[-1] / by_depth[0] for key, by_depth in found.items()}
    figures = []
    if folder:
        from benchmarks.reproductions import pictures

        figures.append(pictures.deviations(found, folder / "initialisation.png"))
    parts = [f"{f} " + ", ".join(f"{name} {kept[f, name]:.1g}" for name in SCHEMES) for f in ("tanh", "relu")]
    measured = f"the tenth layer's deviation in parts of the first's: {'; '.join(parts)}"
    return CLAIM.finding(measured, holds(kept), *figures)


def holds(kept: dict[tuple[str, str], float]) -> bool:
    """Whether each combination keeps more than a fifth of the deviation, or loses nine tenths, as claimed."""
    alive = [("tanh", "1/√n"), ("tanh", "Glorot"), ("relu", "He")]
    dying = [("tanh", "0.01·N"), ("relu", "0.01·N"), ("relu", "1/√n"), ("relu", "Glorot")]
    return all(kept[key] > 0.2 for key in alive) and all(kept[key] < 0.1 for key in dying)


def deviations(activation: str, draw: Draw) -> list[float]:
    """The standard deviation of a[1]…a[10]; each layer is a network of its own, so that a[l] is seen."""
    rng = np.random.default_rng(0)
    a: np.ndarray = rng.standard_normal((WIDTH, EXAMPLES))
    found = []
    for _ in range(DEPTH):
        layer = gpunn.Network(WIDTH, [gpunn.Dense(WIDTH, activation)])
        layer.weights[0][:], layer.biases[0][:] = draw(rng, WIDTH), 0
        a = layer.forward(a)
        found.append(float(a.std()))
    return found


REPRODUCTION = Reproduction(CLAIM, measure)
