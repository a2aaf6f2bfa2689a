"""How large the activations are, layer by layer, before anything is learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, Say, in_training, silent

WIDTH, DEPTH, EXAMPLES = 500, 10, 1000
ALIVE, DEAD = 0.2, 0.1  # the tenth layer's deviation in parts of the first's: at least, at most
SETTINGS = {"layers": DEPTH, "units": WIDTH, "inputs of N(0, 1)": EXAMPLES, "seed": 0}
CLAIM = Claim(
    "initialisation",
    "Through ten layers, weights of 0.01·N(0, 1) let the activations die out; 1/√n and Glorot's keep them "
    "alive with tanh but not with ReLU; He's √(2/n) keeps them with ReLU.",
    "CS231n, notes on neural networks 2 and lecture on training; Glorot and Bengio 2010; He et al. 2015",
    f"the tenth layer's deviation is above {ALIVE} of the first's where it lives, below {DEAD} where not",
    SETTINGS,
)
NORMALISED = Claim(
    "initialisation-batch-norm",
    "With batch normalisation the activations live through ten layers under each of those first weights.",
    "Ioffe and Szegedy 2015; CS231n, notes on neural networks 2",
    f"with tanh and ReLU, under all four, the tenth layer's deviation is above {ALIVE} of the first's",
    SETTINGS,
)
Draw = Callable[[np.random.Generator, int], np.ndarray]
ByDepth = dict[tuple[str, str], list[float]]  # by activation and first weights


def gpunns(name: str) -> Draw:
    """The weights (n, n) of one of gpunn's own initialisers."""
    return lambda rng, n: gpunn.INITIALIZERS[name](rng, n, n)[0]


SCHEMES: dict[str, Draw] = {
    "0.01·N": lambda rng, n: 0.01 * rng.standard_normal((n, n)),
    "1/√n": lambda rng, n: rng.standard_normal((n, n)) / math.sqrt(n),
    "Glorot": gpunns("glorot"),
    "He": gpunns("he"),
}


def measure(folder: Path | None = None, say: Say = silent) -> Finding:
    """Without batch normalisation."""
    found = all_deviations(False, say)
    return finding(found, holds(kept(found)), "without", folder, "initialisation.png")


def measure_normalised(folder: Path | None = None, say: Say = silent) -> Finding:
    """With it, in training, where a mini-batch's own mean and variance count."""
    found = all_deviations(True, say)
    alive = all(share > ALIVE for share in kept(found).values())
    return finding(found, alive, "with", folder, "initialisation-batch-norm.png")


def all_deviations(batch_norm: bool, say: Say) -> ByDepth:
    """For each activation and each scheme, the deviation by depth."""
    found = {}
    for f in ("tanh", "relu"):
        for name, draw in SCHEMES.items():
            say(f"{f}, {name}")
            found[f, name] = deviations(f, draw, batch_norm)
    return found


def deviations(activation: str, draw: Draw, batch_norm: bool) -> list[float]:
    """The standard deviation of a[1]…a[10]; each layer is a network of its own, so that a[l] is seen."""
    rng = np.random.default_rng(0)
    a: np.ndarray = rng.standard_normal((WIDTH, EXAMPLES))
    found = []
    for _ in range(DEPTH):
        a = layer(a, activation, draw(rng, WIDTH), batch_norm)
        found.append(float(a.std()))
    return found


def layer(a: np.ndarray, activation: str, w: np.ndarray, batch_norm: bool) -> np.ndarray:
    """The layer's activations in training, all examples one mini-batch, for inputs a and weights w.

    Only hidden layers are normalised, so an output layer that changes nothing follows.
    """
    n = len(w)
    hidden = gpunn.Dense(n, activation, batch_norm=batch_norm)
    net = gpunn.Network(n, [hidden, gpunn.Dense(n, "identity", "zeros")], seed=0)
    net.weights[0][:], net.biases[0][:], net.weights[1][:] = w, 0, np.eye(n)
    return in_training(net, a)


def kept(found: ByDepth) -> dict[tuple[str, str], float]:
    """The tenth layer's deviation in parts of the first's."""
    return {key: by_depth[-1] / by_depth[0] for key, by_depth in found.items()}


def holds(share: Mapping[tuple[str, str], float]) -> bool:
    """Whether each combination lives or dies, as claimed."""
    living = [("tanh", "1/√n"), ("tanh", "Glorot"), ("relu", "He")]
    dying = [("tanh", "0.01·N"), ("relu", "0.01·N"), ("relu", "1/√n"), ("relu", "Glorot")]
    return all(share[key] > ALIVE for key in living) and all(share[key] < DEAD for key in dying)


def finding(found: ByDepth, passed: bool, normed: str, folder: Path | None, picture: str) -> Finding:
    """In words, as figures and drawn; normed: with or without batch normalisation."""
    share = kept(found)
    parts = [
        f"{f} " + ", ".join(f"{name} {share[f, name]:.1g}" for name in SCHEMES) for f in ("tanh", "relu")
    ]
    figures: tuple[Path, ...] = ()
    if folder:
        from benchmarks.reproductions import pictures

        figures = (pictures.deviations(found, normed, folder / picture),)
    runs = {f"{f}, {name}": [float(f"{d:.3g}") for d in by_depth] for (f, name), by_depth in found.items()}
    return Finding(
        f"the tenth layer's deviation in parts of the first's: {'; '.join(parts)}", passed, runs, figures
    )


REPRODUCTION = Reproduction(CLAIM, measure)
NORMALISED_REPRODUCTION = Reproduction(NORMALISED, measure_normalised)
