"""Training as the textbook would do it: one example and one parameter at a time, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from helpers import one_hot

import gpunn
from gpunn import reference


def train(
    net: gpunn.Network,
    X: np.ndarray,
    labels: np.ndarray,
    optimizer: str,
    eta: float,
    *,
    epochs: int,
    batch_size: int,
    l2: float = 0.0,
    l1: float = 0.0,
    max_norm: float | None = None,
    clip_norm: float | None = None,
    schedule: Callable[[float], float] | None = None,
) -> list[np.ndarray]:
    """Return weights and biases after some epochs over the examples in their own order; net is left alone."""
    names = [layer.f.name for layer in net.layers]
    weights, biases = ([x.copy() for x in part] for part in (net.weights, net.biases))
    book = reference.Textbook(weights, biases, names, net.cost.name)
    Y, m, rule = one_hot(labels, net.sizes[-1]), X.shape[1], reference.OPTIMIZERS[optimizer]
    states: dict[tuple[int, ...], dict[str, float]] = {}
    starts = list(range(0, m, batch_size))
    for t in range(1, epochs * len(starts) + 1):
        batch = slice(starts[(t - 1) % len(starts)], starts[(t - 1) % len(starts)] + batch_size)
        gradients = book.mean_gradient(X[:, batch], Y[:, batch])
        now = eta * schedule((t - 1) / (epochs * len(starts))) if schedule else eta
        length = np.sqrt(sum(np.sum(g**2) for pair in gradients for g in pair))
        factor = min(1, clip_norm / length) if clip_norm else 1
        for k, x in enumerate([*book.weights, *book.biases]):
            is_weight, g = k < len(names), gradients[k % len(names)][k >= len(names)]
            for at in np.ndindex(x.shape):
                state = states.setdefault((k, *at), {})
                x[at] = rule(float(x[at]), float(factor * g[at]), state, t, now, l2 * is_weight)
            if is_weight and l1:
                x[:] = np.sign(x) * np.maximum(np.abs(x) - now * l1, 0)
            if is_weight and max_norm:
                x *= np.minimum(1, max_norm / np.linalg.norm(x, axis=1, keepdims=True))
    return [*book.weights, *book.biases]
