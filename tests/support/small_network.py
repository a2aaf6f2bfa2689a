"""A small classification problem and a network for it, which the tests of `Network` share."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn import Dense, Network

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 40))
Y = RNG.integers(0, 3, 40)


def small(seed: int = 0, dtype: str = "float64", **settings: Any) -> Network:
    """Make a network of 5 inputs, 8 hidden units and 3 classes."""
    return Network(5, [Dense(8, "tanh"), Dense(3, "softmax")], seed=seed, dtype=dtype, **settings)
