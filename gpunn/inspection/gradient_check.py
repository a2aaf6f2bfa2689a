"""Check back-propagation against central differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpunn.network import Network


def check_gradients(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    samples: int | None = None,
    epsilon: float = 1e-6,
    seed: int = 0,
) -> float:
    """Compute the largest difference between back-propagation and (C(θ + ε) − C(θ − ε)) / 2ε.

    The difference is relative to the larger of 1 and the gradient's largest element. A good value is below
    1e-6, unless a unit sits on a kink of its activation. The check runs in float64 on a copy of the network.
    The quotient is Nielsen's equation 46 (chapter 2), taken on both sides.

    Args:
        net: any network, also with functions of your own.
        X: (n_0, m); a few examples are enough.
        y: labels (m,) or targets (n_L, m).
        samples: number of weights and biases to check, chosen at random; None checks all.
        epsilon: ε, by which each parameter is changed.
        seed: random seed of this choice.

    Raises:
        ValueError: the data does not fit the network or its cost.

    >>> net = gpunn.Network([4, 3, 2], seed=0)
    >>> X = np.random.default_rng(0).standard_normal((4, 5))
    >>> gpunn.check_gradients(net, X, [0, 1, 0, 1, 1]) < 1e-6
    True
    """
    copy = net.astype("float64")
    gradients = copy.gradients(X, y)
    pairs = [(copy.weights[l], dw) for l, (dw, _) in enumerate(gradients)]
    pairs += [(copy.biases[l], db) for l, (_, db) in enumerate(gradients)]
    where = [(k, index) for k, (theta, _) in enumerate(pairs) for index in np.ndindex(theta.shape)]
    if samples is not None and samples < len(where):
        where = [where[i] for i in np.random.default_rng(seed).choice(len(where), samples, replace=False)]
    worst = 0.0
    for k, index in where:
        theta, gradient = pairs[k]
        kept, costs = theta[index], []
        for moved in (kept + epsilon, kept - epsilon):
            theta[index] = moved
            costs.append(copy.evaluate(X, y)[0])
        theta[index] = kept
        worst = max(worst, abs((costs[0] - costs[1]) / (2 * epsilon) - gradient[index]))
    return float(worst / max(1.0, *(np.abs(g).max() for _, g in pairs)))
