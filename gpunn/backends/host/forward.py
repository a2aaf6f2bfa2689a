"""Feedforward on the CPU that is bound once and then takes any X, for predictions one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpunn.backends.host.backend import Host
from gpunn.core.backprop import feedforward
from gpunn.core.examples import Examples
from gpunn.core.plan import BoundModel, forward_batch
from gpunn.core.workspace import Chunk
from gpunn.functions.calls import Array

BOUND = 8  # numbers of columns that are kept bound
KEPT_BYTES = 1 << 22  # of their activations that are kept in all


class Columns:
    """Feedforward for c columns of X in one dtype."""

    def __init__(self, be: Host, model: BoundModel, dtype: np.dtype[Any], c: int) -> None:
        sizes = model.theta.layout.sizes
        like, nothing_dropped = Examples(np.empty((sizes[0], 0), dtype)), [0.0] * len(model.dropout)
        chunk = Chunk(
            be.memory, like, model.theta.layout, model.f[1:], model.cost, [c], nothing_dropped, False, False
        )
        (batch,) = chunk.mini_batches()
        self.calls = be.plan(list(feedforward(model.theta, model.f, batch, be.data.new_pass(c))))
        be.context.release()
        self.x, self.a = chunk.x.ones[:-1], chunk.a.plain

    def __call__(self, X: Array, out: Array) -> None:
        """out (n_L, c) ← a[L] for X (n_0, c)."""
        np.copyto(self.x, X, "same_kind")
        for call in self.calls:
            call()
        np.copyto(out, self.a)


class Forward:
    """The outputs a[L] (n_L, m) of a model in the memory of the CPU for any dense X (n_0, m).

    What is bound is kept for later calls, but for very wide networks. One thread may call it at a time.
    """

    def __init__(self, be: Host, model: BoundModel) -> None:
        self.be, self.model, self.sizes = be, model, model.theta.layout.sizes
        self.kept: dict[tuple[np.dtype[Any], int], Columns] = {}

    def __call__(self, X: Array) -> Array:
        be, m = self.be, X.shape[1]
        out = np.empty((self.sizes[-1], m), be.memory.dtype, order="F")
        with np.errstate(all="ignore"), be.threads:
            for start, stop, bound in self._parts(X.dtype, m):
                bound(X[:, start:stop], out[:, start:stop])
        return out

    def _parts(self, dtype: np.dtype[Any], m: int) -> Iterator[tuple[int, int, Columns]]:
        """Yield where each part of m columns begins and ends, with what computes it."""
        most = forward_batch(m, self.sizes[0])
        for c, start, stop in (most, 0, m - m % most), (m % most, m - m % most, m):
            if start == stop:
                continue
            bound = self._bound(dtype, c)
            for first in range(start, stop, c):
                yield first, first + c, bound

    def _bound(self, dtype: np.dtype[Any], c: int) -> Columns:
        found = self.kept.pop((dtype, c), None) or Columns(self.be, self.model, dtype, c)
        self.kept[dtype, c] = found  # as the newest
        a_column = sum(self.sizes) * self.be.memory.dtype.itemsize
        while len(self.kept) > BOUND or sum(c for _, c in self.kept) * a_column > KEPT_BYTES:
            del self.kept[next(iter(self.kept))]
        return found
