"""Small problems that several test files share."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import gpunn
from gpunn import ACTIVATIONS, COSTS, Augmentation, Dense, Network

_rng = np.random.default_rng(0)
X = _rng.standard_normal((5, 12))
Y = _rng.integers(0, 3, 12)
TARGETS = _rng.standard_normal((3, 12))
WEIGHTS = np.random.default_rng(2).random(12) * 3
OF_CLASS = np.array([0.5, 2, 0])

SHAPE = (9, 12)
IMAGES = np.random.default_rng(0).uniform(0, 1, (108, 23))
EVERYTHING = Augmentation(SHAPE, shift=2, rotate=20, scale=0.2, elastic=6, smoothness=2)

PAIRINGS = list(itertools.product(ACTIVATIONS, ACTIVATIONS, COSTS))  # hidden, output, cost
# outputs at or below 0 have no logarithm: the textbook's costs with one are only defined for the others
DEFINED = [(f, g, c) for f, g, c in PAIRINGS if COSTS[c].defined_after(ACTIVATIONS[g])]


def linear(cost: str | gpunn.Cost, n_out: int = 3, output: str = "identity", seed: int = 0) -> Network:
    """One layer, so that its outputs are what its cost sees."""
    return Network(5, [Dense(n_out, output)], cost, seed, "float64")


def close(mine: Any, theirs: Any, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=atol)
