"""Whole networks as the persistent kernel sees them: their recognised steps, without a device."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.backends import Host
from gpunn.backends.cuda.network import NetworkStep, read_steps
from gpunn.backends.cuda.persistent import Shape, WholeNetwork
from gpunn.core import plan
from gpunn.core.equations import Equation


def equations_of(
    net: gpunn.Network, optimizer: Any, m: int = 5, batch_size: int = 5, **how: Any
) -> list[Equation]:
    """Return the equations of a chunk in which the network learns m examples of its first class."""
    be = Host(net.dtype.name)
    model, examples = net.bind(be), be.data.examples(np.zeros((net.sizes[0], m)), np.zeros(m, int), None)
    update = optimizer.bind(be, model.theta)
    stage, *_ = plan.bind(
        model, examples, be.data.new_pass(m), m, batch_size, update=update, training=True, **how
    )
    return list(stage.equations)


def steps_of(equations: list[Equation]) -> list[NetworkStep]:
    """Return the steps, which must be recognised."""
    found = read_steps(equations)
    assert found
    return found[1]


def whole_network(net: gpunn.Network, optimizer: Any, batch_size: int, blocks: int, m: int) -> WholeNetwork:
    """Return the record that stands for learning m examples."""
    steps = steps_of(equations_of(net, optimizer, m, batch_size))
    shape = Shape(net.sizes, batch_size, len(steps[0].motion.states))
    return WholeNetwork(steps, shape, blocks, m)
