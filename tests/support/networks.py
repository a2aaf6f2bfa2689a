"""Whole networks as the resident kernel sees them, without a device that runs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from emulated import EmulatedDevice

import gpunn
from gpunn.backends import Host
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.network import NetworkStep, read_pass
from gpunn.backends.cuda.resident_pass import Resident, recognised
from gpunn.core import plan
from gpunn.core.backend import Backend
from gpunn.core.equations import Equation


def equations_of(
    net: gpunn.Network,
    optimizer: Any,
    m: int = 5,
    batch_size: int = 5,
    be: Backend | None = None,
    dtype: str = "float64",
    **how: Any,
) -> list[Equation]:
    """Return the equations of a chunk in which the network learns m examples of its first class."""
    be = be or Host(net.dtype.name)
    X = np.zeros((net.sizes[0], m), dtype)
    model, examples = net.bind(be), be.data.examples(X, np.zeros(m, int), None)
    update = optimizer.bind(be, model.theta)
    be.launch_steps, be.repeats = 0, False  # every step is in the list
    stage, *_ = plan.bind(
        model, examples, be.data.new_pass(m), m, batch_size, update=update, training=True, **how
    )
    return list(stage.equations)


def steps_of(equations: list[Equation]) -> list[NetworkStep]:
    """Return the steps, which must be recognised."""
    found = read_pass(equations)
    assert found
    return found.steps


def resident_pass(
    net: gpunn.Network, optimizer: Any, batch_size: int, m: int, precision: str = "float32", **how: Any
) -> Resident:
    """Return the record that stands for learning m examples."""
    be = Cuda(EmulatedDevice(), precision)
    found = recognised(equations_of(net, optimizer, m, batch_size, be, **how))
    assert found
    return found
