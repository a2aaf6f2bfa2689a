"""Feedforward on the CPU that is bound once and then takes any X, for predictions one after another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from gpunn.backends.host.backend import Host
from gpunn.core.backprop import feedforward
from gpunn.core.examples import Examples
from gpunn.core.plan import BoundModel, forward_batch
from gpunn.core.ranks import Share
from gpunn.core.workspace import Chunk
from gpunn.functions.calls import Array

BOUND = 8  # numbers of columns that are kept bound
KEPT_BYTES = 1 << 22  # of their activations that are kept in all
SHARED = 1 << 27  # multiply-adds of a call: in less, threads and their trials cost more than they save


class Columns:
    """Feedforward for c columns of X in one dtype."""

    def __init__(self, be: Host, model: BoundModel, dtype: np.dtype[Any], c: int) -> None:
        sizes = model.theta.layout.sizes
        like, nothing_dropped = Examples(np.empty((sizes[0], 0), dtype)), [0.0] * len(model.dropout)
        whole = [Share(c, 0, c)]
        chunk = Chunk(
            be.memory, like, model.theta.layout, model.f[1:], model.cost, whole, nothing_dropped, False, False
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

    One thread computes a small X. What is bound is kept for later calls, but for very wide networks. One
    thread may call it at a time.
    """

    def __init__(self, be: Host, model: BoundModel) -> None:
        self.be, self.alone = be, Host(be.memory.dtype.name, threads=1)
        self.model, self.sizes = model, model.theta.layout.sizes
        self.weights = sum(n_in * n for n_in, n in pairwise(self.sizes))
        self.kept: dict[tuple[Host, np.dtype[Any], int], Columns] = {}

    def __call__(self, X: Array) -> Array:
        m = X.shape[1]
        be = self._shared() if m * self.weights >= SHARED else self.alone
        out = np.empty((self.sizes[-1], m), be.memory.dtype, order="F")
        with np.errstate(all="ignore"), be.threads:
            for start, stop, bound in self._parts(be, X.dtype, m):
                bound(X[:, start:stop], out[:, start:stop])
        return out

    def _shared(self) -> Host:
        """Return the backend whose threads share products, a new one if their number has changed."""
        now = Host(self.be.memory.dtype.name)
        if now.threads.most != self.be.threads.most:
            self.be = now
        return self.be

    def _parts(self, be: Host, dtype: np.dtype[Any], m: int) -> Iterator[tuple[int, int, Columns]]:
        """Yield where each part of m columns begins and ends, with what computes it."""
        size = forward_batch(m, self.sizes[0])
        for c, start, stop in (size, 0, m - m % size), (m % size, m - m % size, m):
            if start == stop:
                continue
            bound = self._bound(be, dtype, c)
            for first in range(start, stop, c):
                yield first, first + c, bound

    def _bound(self, be: Host, dtype: np.dtype[Any], c: int) -> Columns:
        found = self.kept.pop((be, dtype, c), None) or Columns(be, self.model, dtype, c)
        self.kept[be, dtype, c] = found  # as the newest
        a_column = sum(self.sizes) * be.memory.dtype.itemsize
        while len(self.kept) > BOUND or sum(c for *_, c in self.kept) * a_column > KEPT_BYTES:
            del self.kept[next(iter(self.kept))]
        return found
