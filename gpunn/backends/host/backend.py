"""The CPU: NumPy's ufuncs and SciPy's BLAS, on preallocated buffers.

A row of ones lies under every a[l] that a layer multiplies, so b rides in the product as one more column
of w, and its gradient falls out of BP4. Elementwise work runs on a contiguous copy: NumPy is several
times slower on the (n + 1)-strided one. What treats θ as vectors is in host_vectors.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import blas

from gpunn.backends.host.images import distort
from gpunn.backends.host.memory import Columns, Norm
from gpunn.backends.host.norm import norm_error, normalize
from gpunn.backends.host.vectors import Vectors
from gpunn.core.backend import Examples, Pass
from gpunn.core.inputs import is_sparse
from gpunn.core.parameters import Parameters
from gpunn.core.rates import Scalar
from gpunn.functions import randoms
from gpunn.functions.activations import Activation
from gpunn.functions.augmentation import Augmentation
from gpunn.functions.calls import Array, Calls
from gpunn.functions.costs import Cost

BLOCK = 8192  # random numbers of 32 bits at a time, so that their many passes stay in the cache


class Host(Vectors):
    """NumPy and SciPy on the CPU, in float32 or float64. why: the reason that it is the CPU, if any."""

    name = "cpu"
    chunk_bytes = 1 << 19  # few calls for small batches, and still in the cache
    chunk_steps = 64  # more would take longer to bind and save nothing
    runs_ahead = False

    def __init__(self, dtype: str = "float32", why: str = "") -> None:
        super().__init__(dtype)
        self.description = f"cpu ({why})" if why else "cpu"
        self._gemm = blas.sgemm if self.dtype == np.float32 else blas.dgemm

    def plan(self, calls: Calls) -> Calls:
        return calls

    def all_steps(self, *_: Any, **__: Any) -> None:
        """No other way than the verbs."""

    # verbs

    def narrow(self, theta: Parameters) -> Calls:
        return []

    def gather(
        self,
        examples: Examples,
        p: Pass,
        *,
        x: Columns,
        y: Array,
        labels: Array,
        weights: Array | None = None,
    ) -> Calls:
        calls = self._take(examples.X, p, x.ones[:-1])
        if examples.targets is not None:
            calls += self._take(examples.targets, p, y)
        if examples.labels is not None:
            calls += self._take(examples.labels[None], p, labels[None])
            calls += self._targets_of(labels, y, *examples.on_and_off(len(y)))
        if weights is not None:
            calls += self._take(examples.weights, p, weights)
        return calls

    def _take(self, source: Array, p: Pass, out: Array) -> Calls:
        """out (n, c) ← the next c columns of source (n, m), dense and converted to out's type."""
        rows, into, c = source.T, out.T, out.shape[1]
        taken = np.empty((c, source.shape[0]), source.dtype)

        def take() -> None:
            where = places(p.order[p.position : p.position + c])
            found = rows[where] if isinstance(where, slice) else np.take(rows, where, 0, taken, "clip")
            np.copyto(into, found, "same_kind")

        def take_sparse() -> None:
            where = places(p.order[p.position : p.position + c])
            np.copyto(into, rows[where].toarray(out=taken), "same_kind")

        return [take_sparse if is_sparse(source) else take]

    def _targets_of(self, labels: Array, y: Array, on: float, off: float) -> Calls:
        if len(y) == 1:
            of_class = np.array([[off], [on]], self.dtype)
        else:
            of_class = np.full((len(y), len(y)), off, self.dtype)
            np.fill_diagonal(of_class, on)
        return [partial(np.take, of_class, labels, 0, y.T, "clip")]

    def distort(self, augmentation: Augmentation, x: Columns, p: Pass) -> Calls:
        return distort(augmentation, x.ones[:-1], p, self._gemm)

    def feed(
        self, theta: Parameters, layer: int, f: Activation, a: Columns, *, z: Array, out: Columns
    ) -> Calls:
        return [*self.affine(theta, layer, a, out=z), *self.activate(f, z, out=out)]

    def affine(self, theta: Parameters, layer: int, a: Columns, *, out: Array) -> Calls:
        return self._product(float(a.scale), theta.wb[layer], a.ones, 0.0, out)

    def normalize(self, theta: Parameters, layer: int, norm: Norm, *, out: Array) -> Calls:
        own = theta.norm[layer]
        assert own
        return normalize(own, norm, out, self._scratch(out))

    def norm_error(
        self, norm: Norm, alpha: Scalar, beta: Scalar, *, out: Array, into: Parameters, layer: int
    ) -> Calls:
        own = into.norm[layer]
        assert own
        return norm_error(own, norm, out, self._scratch(out), self._cell(alpha), self._cell(beta))

    def activate(self, f: Activation, z: Array, *, out: Columns) -> Calls:
        a = out.plain
        calls = f.f(a, self._scratch(a))
        if z is not a:
            calls.insert(0, partial(np.copyto, a, z))
        if out.ones is not None:
            calls.append(partial(np.copyto, out.ones[:-1], a))
        return calls

    def output_error(self, cost: Cost, f: Activation, z: Array, a: Columns, y: Array, *, out: Array) -> Calls:
        if cost.pairs_with == f.name:
            return [partial(np.subtract, a.plain, y, out)]
        return [*cost.gradient(a.plain, y, out), *f.backward(out, a.plain, z, self._scratch(out))]

    def drop(self, a: Columns, mask: Array, rate: float, layer: int, p: Pass) -> Calls:
        kept = a.ones[:-1]
        source = kept if a.plain is None else a.plain
        return [*self._draw(mask, rate, layer, p), partial(np.multiply, source, mask, kept)]

    def _draw(self, mask: Array, rate: float, layer: int, p: Pass) -> Calls:
        """The mask, in blocks that stay in the cache; every hash of 32 bits serves two elements."""
        flat, size = mask.ravel(order="K"), (mask.size + 1) // 2
        hashed, bits, s = (
            np.arange(size, dtype=np.uint32),
            np.empty(size, np.uint32),
            np.empty(BLOCK, np.uint32),
        )
        randoms.mix_all(hashed, np.empty_like(hashed))
        least, now = np.full(BLOCK * 2, randoms.threshold(rate), np.uint16), np.zeros((), np.uint32)

        def stream() -> None:
            now[()] = randoms.stream(p.key, p.step, layer)

        def draw(start: int) -> Calls:
            block = bits[start : start + BLOCK]
            lanes, out = block.view("<u2"), flat[2 * start : 2 * (start + BLOCK)]
            return [
                partial(np.bitwise_xor, hashed[start : start + BLOCK], now, block),
                partial(randoms.mix_all, block, s[: len(block)]),
                partial(np.greater_equal, lanes[: len(out)], least[: len(out)], out, casting="unsafe"),
            ]

        return [stream, *(call for start in range(0, size, BLOCK) for call in draw(start))]

    def weigh(self, weights: Array, delta: Array) -> Calls:
        spread = self._scratch(delta)  # NumPy allocates when it broadcasts
        return [partial(np.copyto, spread, weights), partial(np.multiply, delta, spread, delta)]

    def hidden_error(
        self,
        theta: Parameters,
        layer: int,
        delta: Array,
        f: Activation,
        z: Array,
        a: Columns,
        mask: Array | None,
        *,
        out: Array,
    ) -> Calls:
        calls = self._product(float(a.scale), theta.w[layer], delta, 0.0, out, trans_a=1)
        calls += f.backward(out, a.plain, z, self._scratch(out))
        if mask is not None:
            calls.append(partial(np.multiply, out, mask, out))
        return calls

    def gradient(
        self, delta: Array, a: Columns, alpha: Scalar, beta: Scalar, *, into: Parameters, layer: int
    ) -> Calls:
        factors = self._cell(alpha.times(a.scale)), self._cell(beta)
        return self._product(factors[0], delta, a.ones, factors[1], into.wb[layer], trans_b=1)

    def measure(
        self, cost: Cost, f: Activation, z: Array, a: Columns, y: Array, labels: Array, p: Pass
    ) -> Calls:
        a_L, c, share, ones = a.plain, y.shape[1], np.empty_like(y), np.ones(len(y), self.dtype)
        calls = cost.loss_calls(f.name, a_L, y, z, share)

        def losses() -> None:
            out = p.losses[p.position : p.position + c]
            self._gemv(1.0, share, ones, 0.0, out, 0, 1, 0, 1, 1, 1)  # sums the columns

        calls.append(losses)
        if labels is not None:
            predicted = np.empty(c, np.intp)
            if len(a_L) == 1:
                calls.append(partial(np.greater, a_L[0], cost.threshold, predicted, casting="unsafe"))
            else:
                calls.append(partial(np.argmax, a_L.T, 1, predicted))

            def hits() -> None:
                np.equal(predicted, labels, p.hits[p.position : p.position + c])

            calls.append(hits)
        return calls

    def weigh_losses(self, weights: Array, p: Pass) -> Calls:
        row = weights[0]

        def weigh() -> None:
            losses = p.losses[p.position : p.position + len(row)]
            np.multiply(losses, row, losses)

        return [weigh]

    def collect(self, a: Columns, p: Pass, *, into: Array) -> Calls:
        c = a.plain.shape[1]

        def collect() -> None:
            into[:, p.position : p.position + c] = a.plain

        return [collect]

    def advance(self, p: Pass, m: int) -> Calls:
        def advance() -> None:
            p.position += m

        return [advance]

    def next_step(self, p: Pass) -> Calls:
        def next_step() -> None:
            p.step += 1

        return [next_step]

    # helpers

    def _product(
        self,
        alpha: float | Array,
        a: Array,
        b: Array,
        beta: float | Array,
        c: Array,
        trans_a: int = 0,
        trans_b: int = 0,
    ) -> Calls:
        """c ← alpha op(a) op(b) + beta c, in place; BLAS would silently copy what is not column-major."""
        for operand in (a, b, c):
            if operand.dtype != self.dtype or not operand.flags.f_contiguous:
                raise ValueError(f"the product needs column-major {self.dtype}, not {operand.dtype}")
        return [partial(self._gemm, alpha, a, b, beta, c, trans_a, trans_b, 1)]


def places(order: Array) -> Array | slice:
    """The same indices; as a slice if they count up, which saves a copy."""
    first, last = order.item(0), order.item(-1)
    counts_up = last - first == len(order) - 1 and bool((np.diff(order) == 1).all())
    return slice(first, last + 1) if counts_up else order
