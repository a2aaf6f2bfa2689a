"""Heads as the CUDA backend recognises them, without running anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emulated import EmulatedDevice

import gpunn
from gpunn.backends.cuda import head_ways
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.head import Head, heads
from gpunn.backends.cuda.kernels import Kernels
from gpunn.core import plan
from gpunn.core.equations import Equation

SHARED = 200 << 10


def equations_on_cuda(
    net: gpunn.Network, optimizer: Any, m: int = 5, precision: str = "float32", **device: Any
) -> tuple[Kernels, list[Equation]]:
    """Return the equations of a step on m examples, in a device's memory."""
    be = Cuda(EmulatedDevice(**{"shared_bytes": SHARED, "cluster": 8, **device}), precision)
    be.plan = lambda equations: []  # type: ignore[method-assign]
    model, examples = net.bind(be), be.data.examples(np.zeros((net.sizes[0], m)), np.zeros(m, int), None)
    update = optimizer.bind(be, model.theta)
    stage, *_ = plan.bind(model, examples, be.data.new_pass(m), m, m, update=update, training=True)
    return be.kernels, list(stage.equations)


def head_of(net: gpunn.Network, optimizer: Any, m: int = 5, **how: Any) -> Head:
    """Return the head of a step, which must be recognised."""
    found = [e for e in heads(*equations_on_cuda(net, optimizer, m, **how)) if isinstance(e, Head)]
    assert len(found) == 1
    return found[0]


def only(blocks: int, cluster: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow one way to share out a head, whatever it takes."""
    monkeypatch.setattr(head_ways, "WAYS", [(blocks, cluster)])
    monkeypatch.setattr(head_ways, "SEPARATE", (np.inf, 0))
