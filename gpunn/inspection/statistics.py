"""Statistics of the layers: learning speed, activations, saturated and dead units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gpunn.core.backend import NORM_EPSILON, UINT8_SCALE
from gpunn.core.inputs import check_X, dense
from gpunn.network import Network

LEVEL = 0.01  # a unit with a smaller slope hardly learns


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one layer on a set of examples.

    Attributes:
        layer: l, from 1.
        learning_speed: ‖∂C/∂b[l]‖ (Nielsen, chapter 5).
        mean: mean of its activations.
        deviation: standard deviation of its activations.
        saturated: fraction of (unit, example) pairs with |f′(z)| below 0.01; None for softmax, whose
            derivative is a Jacobian.
        dead: fraction of units that are saturated on every example; None for softmax.
    """

    layer: int
    learning_speed: float
    mean: float
    deviation: float
    saturated: float | None
    dead: float | None


def layer_statistics(net: Network, X: ArrayLike, y: ArrayLike) -> list[LayerStatistics]:
    """Compute the statistics of each layer 1…L, without dropout, for X (n_0, m) and y as in `Network.fit`.

    All activations of the m examples are in memory at once: a few hundred examples are enough. Raises
    ValueError if the data does not fit the network.

    >>> digits = gpunn.datasets.load("digits").train
    >>> deep = gpunn.Network([64, 30, 30, 30, 10], seed=0)
    >>> first, *_, last = gpunn.layer_statistics(deep, digits.X[:, :100], digits.y[:100])
    >>> first.learning_speed < last.learning_speed  # the gradient vanishes backwards
    True
    """
    a = dense(check_X(X, net.sizes[0]))
    a = np.asarray(a * UINT8_SCALE if a.dtype == np.uint8 else a, net.dtype, order="F")
    found = []
    for l, (layer, (_, db)) in enumerate(zip(net.layers, net.gradients(X, y), strict=True), start=1):
        z = np.asfortranarray(net.weights[l - 1] @ a + net.biases[l - 1])
        if norm := net.norms[l - 1]:
            z -= norm["mean"]
            z *= norm["gamma"] / np.sqrt(norm["variance"] + NORM_EPSILON)
            z += norm["beta"]
        a, slope, scratch = z.copy(order="F"), np.ones_like(z, order="F"), np.empty_like(z, order="F")
        for call in [*layer.f.f(a, scratch), *layer.f.backward(slope, a, z, scratch)]:
            call()
        level = None if layer.f.by_column else np.abs(slope) < LEVEL
        found.append(
            LayerStatistics(
                l,
                float(np.linalg.norm(db)),
                float(a.mean()),
                float(a.std()),
                None if level is None else float(level.mean()),
                None if level is None else float(level.all(axis=1).mean()),
            )
        )
    return found
