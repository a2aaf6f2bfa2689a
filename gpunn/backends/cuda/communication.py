"""Sums over ranks on CUDA: by the device, as part of the graph, or through host memory between two graphs.

Batch normalisation over ranks is here, too: its sums end one kernel and begin the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backends.cuda.device import Buffer, Device
from gpunn.backends.cuda.kernels import Kernels
from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.core.equations import Equation, Normalise, NormError
from gpunn.core.ranks import Ranks
from gpunn.core.vector_equations import AllReduce
from gpunn.functions.calls import Calls


class SumOnHost:
    """x ← Σ x over all ranks, by a copy in pinned memory; it cannot be part of a graph."""

    def __init__(self, device: Device, ranks: Ranks, x: Buffer) -> None:
        self.device, self.ranks, self.x = device, ranks, x
        self.copy = device.pinned(x.nbytes).view(x.dtype)

    def __call__(self) -> None:
        self.device.read(self.x.pointer, self.copy)
        self.ranks.sum(self.copy)
        self.device.write(self.x.pointer, self.copy)


def all_reduce(k: Kernels, e: AllReduce) -> Calls:
    """x ← Σ x over all ranks."""
    return across(k, e.ranks, e.x.flat)


def across(k: Kernels, ranks: Ranks, x: Buffer) -> Calls:
    """x ← Σ x over all ranks."""
    return [k.device.all_reduce(ranks, x) or SumOnHost(k.device, ranks, x)]


def normalise(k: Kernels, e: Normalise, ranks: Ranks) -> Calls:
    """z ← γ (z − μ)/√(σ² + ε) + β, with μ and σ² over all ranks, towards which the running ones move."""
    own, (n, m), share = e.theta.norm[e.layer], e.z.shape, e.share
    assert own
    part, m_all = share.counts / share.whole, share.whole
    mean, variance = k.memory.new((n,)), k.memory.new((n,))
    calls = k.rows("row_moment", n, m, e.z.ld, part, 0, e.z, mean, mean) + across(k, ranks, mean)
    calls += k.rows("row_moment", n, m, e.z.ld, part, 1, e.z, mean, variance) + across(k, ranks, variance)
    shares = NORM_MOMENTUM, NORM_MOMENTUM * m_all / max(1, m_all - 1)
    for name, now, by in zip(("mean", "variance"), (mean, variance), shares, strict=True):
        calls += k.each("scale", n, k.memory.fixed(1 - NORM_MOMENTUM), own[name])
        calls += k.each("add", n, k.memory.fixed(by), now, own[name])
    given = 0, NORM_EPSILON, NORM_MOMENTUM, own["gamma"], own["beta"], mean, variance
    return calls + k.rows("normalise", n, m, e.z.ld, *given, e.z, e.norm.z, e.norm.gain)


def norm_error(k: Kernels, e: NormError, ranks: Ranks) -> Calls:
    """δ back through it, by means over all ranks, and [γ β] of `into` ← α [Σ δ ẑ, Σ δ] + β [γ β]."""
    own, (n, m), share = e.into.norm[e.layer], e.delta.shape, e.share
    assert own
    means = k.memory.new((2 * n,))
    factors = share.counts / share.whole, k.memory.cell(e.alpha), k.memory.cell(e.beta)
    sums = k.rows(
        "norm_sums", n, m, e.delta.ld, *factors, e.norm.z, e.delta, own["gamma"], own["beta"], means
    )
    back = k.elements("norm_back", n, m, e.delta.ld, means, e.norm.z, e.norm.gain, e.delta)
    return [*sums, *across(k, ranks, means), *back]


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {AllReduce: all_reduce}
