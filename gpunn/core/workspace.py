"""The buffers of a training step: a[l], z[l] and delta[l] for a run of mini-batches gathered together.

A chunk is a few consecutive mini-batches. Its inputs, targets and outputs lie side by side, so they are
gathered and measured in one go. The layers in between are computed one mini-batch at a time, in buffers that
all mini-batches of the same size share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpunn.core.backend import Memory
from gpunn.core.examples import Examples
from gpunn.core.parameters import Layout
from gpunn.core.ranks import Share
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost


@dataclass(frozen=True)
class BatchBuffers:
    """The buffers of one mini-batch; lists are indexed by layer, 0…L.

    Attributes:
        share: the columns that they hold.
        dropout: for l = 0…L−1, the share of a[l] that is dropped.
        mask: what is kept of a[l], if its dropout is above 0.
        norm: what a batch-normalised layer keeps for its backward pass; None for the others.
        weights: (1, m) weights of the examples, if they have any.
    """

    share: Share
    a: list[Any]
    z: list[Any]
    delta: list[Any]
    y: Any
    dropout: Sequence[float]
    mask: list[Any]
    norm: list[Any]
    weights: Any = None


class Chunk:
    """The buffers of consecutive mini-batches, or of shares of them; delta is only allocated if θ learns.

    distorted: whether the images are changed after they are gathered.
    """

    def __init__(
        self,
        memory: Memory,
        examples: Examples,
        layout: Layout,
        f: Sequence[Activation],
        cost: Cost,
        shares: Sequence[Share],
        dropout: Sequence[float],
        training: bool,
        learns: bool,
        distorted: bool = False,
    ) -> None:
        self.memory, self.layout, self.f, self.shares, self.dropout = memory, layout, f, shares, dropout
        self.sizes, self.training, self.learns = layout.sizes, training, learns
        n_out, self.m = self.sizes[-1], sum(share.m for share in shares)
        self.x = memory.inputs(examples, self.m, dropout[0], distorted)
        self.y = memory.matrix(n_out, self.m)
        self.labels = memory.labels(self.m)
        self.weights = None if examples.weights is None else memory.matrix(1, self.m)
        self.z = memory.matrix(n_out, self.m)
        separate = f[-1].keeps_z or cost.reads_z(f[-1])
        self.a = memory.outputs(n_out, self.m, over=memory.matrix(n_out, self.m) if separate else self.z)

    def mini_batches(self) -> Iterator[BatchBuffers]:
        """Yield the mini-batches one after another, as views of the chunk."""
        shared: dict[int, tuple[list[Any], ...]] = {}
        columns, start = self.memory.columns, 0
        for share in self.shares:
            m = share.m
            if m not in shared:
                shared[m] = self._between(m)
            a, z, delta, mask, norm = shared[m]
            own = (start, start + m)
            yield BatchBuffers(
                share,
                a=[columns(self.x, *own), *a, columns(self.a, *own)],
                z=[None, *z, columns(self.z, *own)],
                delta=delta,
                y=columns(self.y, *own),
                dropout=self.dropout,
                mask=mask,
                norm=norm,
                weights=None if self.weights is None else columns(self.weights, *own),
            )
            start += m

    def _between(self, m: int) -> tuple[list[Any], ...]:
        """Allocate a and z of the hidden layers, the masks and, to learn, delta, for mini-batches of m."""
        memory, a, z = self.memory, [], []
        for n, f, rate in zip(self.sizes[1:-1], self.f[:-1], self.dropout[1:], strict=True):
            z.append(memory.operand(n, m))
            separate = f.keeps_z or (f.by_column and rate)  # a softmax's Jacobian needs what is dropped, too
            a.append(memory.hidden(n, m, over=memory.operand(n, m) if separate else z[-1], dropout=rate))
        delta = [None, *(memory.operand(n, m) if self.learns else None for n in self.sizes[1:])]
        dropped = zip(self.sizes[:-1], self.dropout, strict=True)
        mask = [memory.operand(n, m) if rate else None for n, rate in dropped]
        normed = zip(self.sizes[1:], self.layout.normed, strict=True)
        norm = [None, *(memory.norm(n, m, self.training) if yes else None for n, yes in normed)]
        return a, z, delta, mask, norm
