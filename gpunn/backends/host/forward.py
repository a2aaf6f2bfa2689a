"""Feedforward on the CPU that is bound once and then takes any X, for predictions one after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeAlias, cast

import numpy as np

from gpunn.backends.host.backend import Host
from gpunn.backends.host.choice import Shared
from gpunn.backends.host.compiled.operations import Program
from gpunn.core.backprop import feedforward
from gpunn.core.examples import Examples
from gpunn.core.pass_equations import Advance, CollectOutputs, Gather
from gpunn.core.plan import FORWARD_BATCH, BoundModel, forward_batch
from gpunn.core.ranks import Share
from gpunn.core.workspace import Chunk
from gpunn.functions.calls import Array

Bound: TypeAlias = Callable[[Array, Array], None]

BOUND = 8  # numbers of columns that are kept bound
KEPT_BYTES = 1 << 22  # of their activations that are kept in all
FEW = 128  # columns that a program takes at a time on one thread: they stay in its cache
SHARED = 1 << 25  # multiply-adds of a call: in less, threads and their trials cost more than they save


class Columns:
    """Feedforward for c columns of X in one dtype."""

    def __init__(self, be: Host, model: BoundModel, dtype: np.dtype[Any], c: int) -> None:
        layout, rates, whole = model.theta.layout, [0.0] * len(model.dropout), [Share(c, 0, c)]
        self.be, self.c, self.p = be, c, be.data.new_pass(c)
        self.like = Examples(np.empty((layout.sizes[0], c), dtype, "F"))
        self.chunk = Chunk(be.memory, self.like, layout, model.f[1:], model.cost, whole, rates, False, False)
        (batch,) = self.chunk.mini_batches()
        self.equations = list(feedforward(model.theta, model.f, batch, self.p))

    def bind(self) -> Bound:
        """Return the function that computes out (n_L, m) for X (n_0, m), where c divides m."""
        bound = self._bind_program() or self._bind_calls()
        self.be.context.release()
        return bound

    def _bind_calls(self) -> Bound:
        """Copy columns of X and of the outputs before and after the calls of NumPy."""
        x, a, c, calls = self.chunk.x.ones[:-1], self.chunk.a.plain, self.c, self.be.plan(self.equations)

        def bound(X: Array, out: Array) -> None:
            with np.errstate(all="ignore"), self.be.threads:
                for start in range(0, X.shape[1], c):
                    np.copyto(x, X[:, start : start + c], "same_kind")
                    for call in calls:
                        call()
                    np.copyto(out[:, start : start + c], a)

        return bound

    def _bind_program(self) -> Bound | None:
        """Let a compiled program read X and write the outputs where they are; None if NumPy takes part."""
        if not self.be.repeats:
            return None
        chunk, p, c = self.chunk, self.p, self.c
        gather = Gather(self.like, p, chunk.x, None, chunk.labels)
        collect = CollectOutputs(chunk.a, p, self.be.memory.matrix(*chunk.a.shape))
        found = self.be.repeat(self.be.plan([gather, *self.equations, collect, Advance(p, c)]), sys.maxsize)
        if found is None:
            return None
        (call,), most = cast("tuple[list[Shared | Program], int]", found)
        program = cast(Program, call.calls[0]) if isinstance(call, Shared) else call
        once = p.order

        def bound(X: Array, out: Array) -> None:
            X, m = X if is_plain(X) else np.asfortranarray(X), X.shape[1]
            program.aim(X, out)
            p.order, p.position = once if m == c else np.arange(m), 0
            with self.be.threads:
                for done in range(0, m // c, most):
                    call.times = program.times = min(most, m // c - done)
                    call()

        return bound


def is_plain(X: Array) -> bool:
    """Whether the columns of X are contiguous and aligned, so that a program can read them."""
    down, apart = X.strides
    return X.flags.aligned and (down == X.itemsize or len(X) == 1) and apart % X.itemsize == 0


class Forward:
    """The outputs a[L] (n_L, m) of a model in the memory of the CPU for any dense X (n_0, m).

    One thread computes a small X. What is bound is kept for later calls, but for very wide networks. One
    thread may call it at a time.
    """

    def __init__(self, be: Host, model: BoundModel) -> None:
        self.be, self.alone = be, Host(be.memory.dtype.name, threads=1)
        self.model, self.sizes = model, model.theta.layout.sizes
        self.weights = sum(n_in * n for n_in, n in pairwise(self.sizes))
        self.kept: dict[tuple[Host, np.dtype[Any], int], Bound] = {}

    def __call__(self, X: Array) -> Array:
        m = X.shape[1]
        be = self._shared() if m * self.weights >= SHARED else self.alone
        out = np.empty((self.sizes[-1], m), be.memory.dtype, order="F")
        for start, stop, bound in self._parts(be, X.dtype, m):
            bound(X[:, start:stop], out[:, start:stop])
        return out

    def _shared(self) -> Host:
        """Return the backend whose threads share products, a new one if their number has changed."""
        now = Host(self.be.memory.dtype.name)
        if now.threads.most != self.be.threads.most:
            self.be = now
        return self.be

    def _parts(self, be: Host, dtype: np.dtype[Any], m: int) -> Iterator[tuple[int, int, Bound]]:
        """Yield where each part of m columns begins and ends, with what computes it."""
        size = forward_batch(m, self.sizes[0], FEW if be is self.alone and be.repeats else FORWARD_BATCH)
        for c, start, stop in (size, 0, m - m % size), (m % size, m - m % size, m):
            if start < stop:
                yield start, stop, self._bound(be, dtype, c)

    def _bound(self, be: Host, dtype: np.dtype[Any], c: int) -> Bound:
        found = self.kept.pop((be, dtype, c), None) or Columns(be, self.model, dtype, c).bind()
        self.kept[be, dtype, c] = found  # as the newest
        a_column = sum(self.sizes) * be.memory.dtype.itemsize
        while len(self.kept) > BOUND or sum(c for *_, c in self.kept) * a_column > KEPT_BYTES:
            del self.kept[next(iter(self.kept))]
        return found
