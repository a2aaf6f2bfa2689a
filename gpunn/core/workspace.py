"""The buffers of a training step: a[l], z[l] and delta[l] for a run of mini-batches gathered together.

A chunk is a few consecutive mini-batches. Its inputs, targets and outputs lie side by side, so they are
gathered and measured in one go; the layers between are computed a mini-batch at a time, in buffers that
all mini-batches of one size share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpunn.core.backend import Backend, Examples
from gpunn.core.parameters import Layout
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost


@dataclass(frozen=True)
class Step:
    """One mini-batch's buffers; lists are indexed by layer, 0…L.

    dropout: the share of a[l] that is dropped, l = 0…L−1; mask[l] says which, where that is above 0.
    norm[l]: what a batch-normalised layer remembers; None for the others.
    """

    m: int
    a: list[Any]
    z: list[Any]
    delta: list[Any]
    y: Any
    dropout: Sequence[float]
    mask: list[Any]
    norm: list[Any]
    weights: Any = None  # (1, m), if the examples have any


class Chunk:
    """The buffers of consecutive mini-batches of the given sizes; of delta, only if it learns."""

    def __init__(
        self,
        be: Backend,
        examples: Examples,
        layout: Layout,
        f: Sequence[Activation],
        cost: Cost,
        batches: Sequence[int],
        dropout: Sequence[float],
        training: bool,
        learns: bool,
    ) -> None:
        self.be, self.layout, self.f, self.batches, self.dropout = be, layout, f, batches, dropout
        self.sizes, self.training, self.learns = layout.sizes, training, learns
        n_out, self.m = self.sizes[-1], sum(batches)
        self.x = be.inputs(examples, self.m, dropout[0])
        self.y = be.matrix(n_out, self.m)
        self.labels = be.label_buffer(self.m)
        self.weights = None if examples.weights is None else be.matrix(1, self.m)
        self.z = be.matrix(n_out, self.m)
        separate = f[-1].keeps_z or cost.reads_z(f[-1].name)
        self.a = be.outputs(n_out, self.m, over=be.matrix(n_out, self.m) if separate else self.z)

    def steps(self) -> Iterator[Step]:
        """The mini-batches one after another, as views of the chunk."""
        shared: dict[int, tuple[list[Any], ...]] = {}
        start = 0
        for m in self.batches:
            if m not in shared:
                shared[m] = self._between(m)
            a, z, delta, mask, norm = shared[m]
            columns = (start, start + m)
            yield Step(
                m,
                a=[self.be.columns(self.x, *columns), *a, self.be.columns(self.a, *columns)],
                z=[None, *z, self.be.columns(self.z, *columns)],
                delta=delta,
                y=self.be.columns(self.y, *columns),
                dropout=self.dropout,
                mask=mask,
                norm=norm,
                weights=None if self.weights is None else self.be.columns(self.weights, *columns),
            )
            start += m

    def _between(self, m: int) -> tuple[list[Any], ...]:
        """a and z of the hidden layers, the masks and, to learn, delta, for mini-batches of m."""
        be, a, z = self.be, [], []
        for n, f, rate in zip(self.sizes[1:-1], self.f[:-1], self.dropout[1:], strict=True):
            z.append(be.operand(n, m))
            a.append(be.hidden(n, m, over=be.operand(n, m) if f.keeps_z else z[-1], dropout=rate))
        delta = [None, *(be.operand(n, m) if self.learns else None for n in self.sizes[1:])]
        dropped = zip(self.sizes[:-1], self.dropout, strict=True)
        mask = [be.matrix(n, m) if rate else None for n, rate in dropped]
        normed = zip(self.sizes[1:], self.layout.normed, strict=True)
        norm = [None, *(be.norm(n, m, self.training) if yes else None for n, yes in normed)]
        return a, z, delta, mask, norm
