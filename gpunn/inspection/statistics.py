"""Statistics of the layers: learning speed, activations, saturated and dead units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gpunn.backends import Host
from gpunn.core.backprop import feedforward
from gpunn.core.inputs import check_X, dense
from gpunn.core.pass_equations import Gather
from gpunn.core.ranks import Share
from gpunn.core.workspace import BatchBuffers, Chunk
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
    X = dense(check_X(X, net.sizes[0]))
    batch = feed(net, X)
    found = []
    for l, (layer, (_, db)) in enumerate(zip(net.layers, net.gradients(X, y), strict=True), start=1):
        a = batch.a[l].plain
        mean, deviation, slope = float(a.mean()), float(a.std()), np.ones_like(a, order="F")
        for call in layer.f.backward(slope, a, batch.z[l], np.empty_like(a, order="F")):
            call()
        level = None if layer.f.by_column else np.abs(slope) < LEVEL
        found.append(
            LayerStatistics(
                l,
                float(np.linalg.norm(db)),
                mean,
                deviation,
                None if level is None else float(level.mean()),
                None if level is None else float(level.all(axis=1).mean()),
            )
        )
    return found


def feed(net: Network, X: np.ndarray) -> BatchBuffers:
    """Feed all of X (n_0, m) forward at once, without dropout, and return the layers' buffers."""
    be, m = Host(net.dtype.name), X.shape[1]
    model, examples, p = net.bind(be), be.data.examples(X, None, None), be.data.new_pass(m)
    without, training, learns = [0.0] * len(net.layers), False, False
    how = net.layout, model.f[1:], model.cost, [Share(m, 0, m)], without, training, learns
    chunk = Chunk(be.memory, examples, *how)
    batch = next(chunk.mini_batches())
    gather = Gather(examples, p, chunk.x, chunk.y, chunk.labels)
    for call in be.plan([gather, *feedforward(model.theta, model.f, batch, p)]):
        call()
    return batch
