"""Initialisers: each draws w (n_out, n_in) and b (n_out, 1) from a generator, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gpunn.names import OtherNames, name_in

Weights: TypeAlias = tuple[np.ndarray, np.ndarray]
Initializer: TypeAlias = Callable[[np.random.Generator, int, int], Weights]


def normal(rng: np.random.Generator, n_out: int, n_in: int) -> Weights:
    """w, b ~ N(0, 1): Nielsen, "Neural Networks and Deep Learning", chapter 1."""
    return rng.standard_normal((n_out, n_in)), rng.standard_normal((n_out, 1))


def scaled(rng: np.random.Generator, n_out: int, n_in: int) -> Weights:
    """w ~ N(0, 1/n_in), b ~ N(0, 1): Nielsen, "Neural Networks and Deep Learning", chapter 3."""
    w, b = normal(rng, n_out, n_in)
    return w / math.sqrt(n_in), b


def glorot(rng: np.random.Generator, n_out: int, n_in: int) -> Weights:
    """w uniform in ±√(6/(n_in + n_out)), b = 0: Glorot and Bengio 2010, equation 16."""
    bound = math.sqrt(6 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_out, n_in)), np.zeros((n_out, 1))


def he(rng: np.random.Generator, n_out: int, n_in: int) -> Weights:
    """w ~ N(0, 2/n_in), b = 0: He et al. 2015, equation 10."""
    return rng.standard_normal((n_out, n_in)) * math.sqrt(2 / n_in), np.zeros((n_out, 1))


def zeros(rng: np.random.Generator, n_out: int, n_in: int) -> Weights:
    """w = 0, b = 0: for a single neuron only, since the units of a hidden layer would stay equal forever."""
    return np.zeros((n_out, n_in)), np.zeros((n_out, 1))


INITIALIZERS: dict[str, Initializer] = {f.__name__: f for f in (normal, scaled, glorot, he, zeros)}

_UNIFORM, _NORMAL = "'glorot' (uniform in ±√(6/(n_in + n_out)))", "'he' (N(0, 2/n_in))"
OTHER_NAMES = OtherNames(
    aliases={
        "glorot uniform": "glorot",
        "xavier": "glorot",
        "xavier uniform": "glorot",
        "he normal": "he",
        "kaiming": "he",
        "kaiming normal": "he",
        "gaussian": "normal",
        "standard normal": "normal",
    },
    near={
        **dict.fromkeys(("glorot normal", "xavier normal", "uniform", "random uniform"), _UNIFORM),
        **dict.fromkeys(("he uniform", "kaiming uniform"), _NORMAL),
        **dict.fromkeys(("lecun", "lecun normal"), "'scaled' (w ~ N(0, 1/n_in), b ~ N(0, 1))"),
    },
)


def name_of(initializer: str) -> str:
    """Return gpunn's own name for an initialiser. Raises ValueError if it is unknown."""
    return name_in(INITIALIZERS, initializer, "initializer", OTHER_NAMES)
