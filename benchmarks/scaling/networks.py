"""The networks whose scaling is measured on CPUs and predicted for GPUs."""

from __future__ import annotations

from benchmarks.nets import DEEP, MIDDLE, WIDE, Net

NETS = [MIDDLE, WIDE, DEEP]


def parameters(net: Net) -> int:
    """Return the number of weights and biases."""
    return sum((n_in + 1) * n for n_in, n in zip(net.sizes[:-1], net.sizes[1:], strict=True))
