"""A training step as equations, for what is measured below `Network.fit`."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.nets import Net
from gpunn.core.backprop import backpropagate, feedforward
from gpunn.core.equations import Equation
from gpunn.core.optimizers import SGD
from gpunn.core.plan import BoundModel
from gpunn.core.ranks import Share
from gpunn.core.vector_equations import RefreshLowPrecision
from gpunn.core.workspace import Chunk


def training_step(be: Any, net: Net) -> list[Equation]:
    """Return the equations of a step of SGD, without what a chunk of steps shares, such as gathering."""
    network, m = net.build(), net.batch_size
    model: BoundModel = network.bind(be)
    examples = be.data.examples(np.zeros((net.sizes[0], m), np.uint8), np.zeros(m, int), None)
    update = SGD(net.learning_rate).bind(be, model.theta)
    chunk = Chunk(
        be.memory,
        examples,
        network.layout,
        model.f[1:],
        model.cost,
        [Share(m, 0, m)],
        model.dropout,
        True,
        True,
    )
    batch = next(chunk.mini_batches())
    forth = feedforward(model.theta, model.f, batch, be.data.new_pass(m))
    back = backpropagate(model.theta, model.f, model.cost, update, batch)
    return [RefreshLowPrecision(model.theta), *forth, *back]
