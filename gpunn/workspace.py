"""The buffers of a training step: a[l], z[l] and delta[l] for a run of mini-batches gathered together.

A chunk is a few consecutive mini-batches. Its inputs, targets and outputs lie side by side, so they are
gathered and measured in one go; the layers between are computed a mini-batch at a time, in buffers that
all mini-batches of one size share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpunn.activations import Activation
from gpunn.backends.base import Backend, Examples
from gpunn.costs import Cost


@dataclass(frozen=True)
class Step:
    """One mini-batch's buffers; lists are indexed by layer, 0…L."""

    m: int
    a: list[Any]
    z: list[Any]
    delta: list[Any]
    y: Any
    weights: Any = None  # (1, m), if the examples have any


class Chunk:
    """The buffers of consecutive mini-batches of the given sizes."""

    def __init__(
        self,
        be: Backend,
        examples: Examples,
        sizes: Sequence[int],
        f: Sequence[Activation],
        cost: Cost,
        batches: Sequence[int],
    ) -> None:
        self.be, self.sizes, self.f, self.batches = be, sizes, f, batches
        n_out, self.m = sizes[-1], sum(batches)
        self.x = be.inputs(examples, self.m)
        self.y = be.matrix(n_out, self.m)
        self.labels = be.label_buffer(self.m)
        self.weights = None if examples.weights is None else be.matrix(1, self.m)
        self.z = be.matrix(n_out, self.m)
        separate = f[-1].keeps_z or cost.reads_z(f[-1].name)
        self.a = be.outputs(n_out, self.m, over=be.matrix(n_out, self.m) if separate else self.z)

    def steps(self) -> Iterator[Step]:
        """The mini-batches one after another, as views of the chunk."""
        shared: dict[int, tuple[list[Any], list[Any], list[Any]]] = {}
        start = 0
        for m in self.batches:
            if m not in shared:
                shared[m] = self._between(m)
            a, z, delta = shared[m]
            columns = (start, start + m)
            yield Step(
                m,
                a=[self.be.columns(self.x, *columns), *a, self.be.columns(self.a, *columns)],
                z=[None, *z, self.be.columns(self.z, *columns)],
                delta=delta,
                y=self.be.columns(self.y, *columns),
                weights=None if self.weights is None else self.be.columns(self.weights, *columns),
            )
            start += m

    def _between(self, m: int) -> tuple[list[Any], list[Any], list[Any]]:
        """a and z of the hidden layers, delta of all layers, for mini-batches of m."""
        a, z = [], []
        for n, f in zip(self.sizes[1:-1], self.f[:-1], strict=True):
            z.append(self.be.matrix(n, m))
            a.append(self.be.hidden(n, m, over=self.be.matrix(n, m) if f.keeps_z else z[-1]))
        return a, z, [None, *(self.be.matrix(n, m) for n in self.sizes[1:])]
