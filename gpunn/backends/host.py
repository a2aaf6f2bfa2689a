"""The CPU: NumPy's ufuncs and SciPy's BLAS, on preallocated buffers.

A row of ones lies under every a[l] that a layer multiplies, so b rides in the product as one more column
of w, and its gradient falls out of BP4. Elementwise work runs on a contiguous copy: NumPy is several
times slower on the (n + 1)-strided one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import blas

from gpunn.activations import Activation, Array, Calls, constant
from gpunn.backends.base import UINT8_SCALE, Examples, Pass
from gpunn.costs import Cost
from gpunn.parameters import Parameters, length
from gpunn.rates import CAPACITY, Rates, Scalar

BLOCK = 8192  # elements of θ at a time, so that an optimizer's many passes stay in the cache


@dataclass
class Columns:
    """a[l] twice: `plain` (n, m) contiguous, and `ones` (n + 1, m) with the row of ones beneath.

    The inputs have only the second, the outputs only the first. Bytes are kept as they are, over a row of
    255, and scaled by the products that read them.
    """

    plain: Any
    ones: Any
    scale: float = 1


class Host:
    """NumPy and SciPy on the CPU, in float32 or float64. why: the reason that it is the CPU, if any."""

    name = "cpu"

    def __init__(self, dtype: str = "float32", why: str = "") -> None:
        self.description = f"cpu ({why})" if why else "cpu"
        self.dtype = np.dtype(dtype)
        single = self.dtype == np.float32
        self._gemm = blas.sgemm if single else blas.dgemm
        self._gemv = blas.sgemv if single else blas.dgemv
        self._nrm2 = blas.snrm2 if single else blas.dnrm2
        self._axpy = blas.saxpy if single else blas.daxpy
        self._scratches: dict[tuple[int, ...], Array] = {}

    # storage

    def upload(self, array: Array) -> Array:
        return np.array(array, self.dtype, order="F")

    def download(self, array: Array) -> Array:
        return array

    def matrix(self, n: int, m: int) -> Array:
        return np.zeros((n, m), self.dtype, order="F")

    def inputs(self, examples: Examples, m: int) -> Columns:
        scale = UINT8_SCALE if examples.X.dtype == np.uint8 else 1
        return Columns(None, np.full((len(examples.X) + 1, m), 1 / scale, self.dtype, order="F"), scale)

    def hidden(self, n: int, m: int, over: Array) -> Columns:
        return Columns(over, np.ones((n + 1, m), self.dtype, order="F"))

    def outputs(self, n: int, m: int, over: Array) -> Columns:
        return Columns(over, None)

    def columns(self, buffer: Any, start: int, stop: int) -> Any:
        if isinstance(buffer, Columns):
            plain, ones = (self.columns(part, start, stop) for part in (buffer.plain, buffer.ones))
            return Columns(plain, ones, buffer.scale)
        return None if buffer is None else buffer[:, start:stop]

    def label_buffer(self, m: int) -> Array:
        return np.zeros(m, np.intp)

    def parameters(self, sizes: Sequence[int]) -> Parameters:
        itemsize = self.dtype.itemsize
        return Parameters(sizes, np.zeros(length(sizes, itemsize), self.dtype), itemsize)

    def examples(
        self,
        X: Array,
        labels: Array | None,
        targets: Array | None,
        smoothing: float = 0.0,
        weights: Array | None = None,
    ) -> Examples:
        return Examples(np.asfortranarray(X), labels, targets, smoothing, weights)

    def new_pass(self, m: int) -> Pass:
        return Pass(np.arange(m), np.zeros(m, self.dtype), np.zeros(m, bool), 0)

    def begin(self, p: Pass, order: Array, etas: Array | None = None) -> None:
        p.order, p.position, p.etas, p.step = order, 0, etas, 0

    def rates(self, eta: float) -> Rates:
        return Rates(eta, np.zeros(CAPACITY, self.dtype))

    def _cell(self, scalar: Scalar) -> Array:
        """The scalar as a 0-d view, which BLAS and the ufuncs read when they run."""
        rates, index = scalar.rates, scalar.index
        rates.values[index] = scalar.p + scalar.q * rates.eta
        return rates.values[index : index + 1].reshape(())

    def results(self, p: Pass) -> tuple[Array, Array]:
        return p.losses, p.hits

    def copy(self, array: Array, *, into: Array | None = None) -> Array:
        if into is None:
            return array.copy()
        np.copyto(into, array)
        return into

    # verbs

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
        """out (n, c) ← the next c columns of source (n, m), converted to out's type."""
        rows, c = source.T, out.shape[1]
        taken = np.empty((c, len(source)), source.dtype)

        def take() -> None:
            np.take(rows, p.order[p.position : p.position + c], 0, taken, "clip")

        return [take, partial(np.copyto, out.T, taken, "same_kind")]

    def _targets_of(self, labels: Array, y: Array, on: float, off: float) -> Calls:
        if len(y) == 1:
            of_class = np.array([[off], [on]], self.dtype)
        else:
            of_class = np.full((len(y), len(y)), off, self.dtype)
            np.fill_diagonal(of_class, on)
        return [partial(np.take, of_class, labels, 0, y.T, "clip")]

    def affine(self, theta: Parameters, layer: int, a: Columns, *, out: Array) -> Calls:
        return self._product(float(a.scale), theta.wb[layer], a.ones, 0.0, out)

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

    def weigh(self, weights: Array, delta: Array) -> Calls:
        spread = self._scratch(delta)  # NumPy allocates when it broadcasts
        return [partial(np.copyto, spread, weights), partial(np.multiply, delta, spread, delta)]

    def hidden_error(
        self, w: Array, delta: Array, f: Activation, z: Array, a: Columns, *, out: Array
    ) -> Calls:
        product = self._product(1.0, w, delta, 0.0, out, trans_a=1)
        return [*product, *f.backward(out, a.plain, z, self._scratch(out))]

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

    def follow(self, rates: Rates, p: Pass) -> Calls:
        exact = np.empty(CAPACITY)

        def follow() -> None:
            np.multiply(rates.q, p.etas[p.step], exact)
            np.add(exact, rates.p, exact)
            np.copyto(rates.values, exact, "same_kind")
            p.step += 1

        return [follow]

    def add(self, alpha: Scalar, x: Array, *, into: Array) -> Calls:
        return [partial(self._axpy, x, into, len(x), self._cell(alpha))]

    def scale(self, alpha: Scalar, x: Array) -> Calls:
        return [partial(np.multiply, x, self._cell(alpha), x)]

    def adam(
        self,
        theta: Array,
        g: Array,
        m: Array,
        v: Array,
        eta: Scalar,
        beta1: float,
        beta2: float,
        epsilon: float,
    ) -> Calls:
        step, rate, small, now = 0, constant(theta, 0), constant(theta, 0), self._cell(eta)

        def begin() -> None:
            nonlocal step
            step += 1
            unbias = math.sqrt(1 - beta2**step)
            rate[()] = now * unbias / (1 - beta1**step)
            small[()] = epsilon * unbias

        blocks = (slice(start, start + BLOCK) for start in range(0, len(theta), BLOCK))
        return [begin, *(call for b in blocks for call in _adam_block(
            theta[b], g[b], m[b], v[b], beta1, beta2, rate, small
        ))]  # fmt: skip

    def rms(self, theta: Array, g: Array, v: Array, eta: Scalar, rho: float, epsilon: float) -> Calls:
        calls: Calls = []
        for start in range(0, len(theta), BLOCK):
            b = slice(start, start + BLOCK)
            calls += _rms_block(theta[b], g[b], v[b], rho, self._cell(eta), epsilon)
        return calls

    def shrink(self, limit: Scalar, x: Array) -> Calls:
        now = self._cell(limit)
        high, low, s = (np.empty(min(BLOCK, len(x)), self.dtype) for _ in range(3))
        calls: Calls = [partial(np.copyto, high, now), partial(np.negative, high, low)]
        for start in range(0, len(x), BLOCK):
            part = x[start : start + BLOCK]
            n, within = len(part), s[: len(part)]
            calls += [
                partial(np.minimum, part, high[:n], out=within),
                partial(np.maximum, within, low[:n], out=within),
                partial(np.subtract, part, within, part),
            ]
        return calls

    def clip(self, limit: float, x: Array) -> Calls:
        norm = self._nrm2

        def clip() -> None:
            length = norm(x)
            if length > limit:
                np.multiply(x, constant(x, limit / length), x)

        return [clip]

    def bound_rows(self, limit: float, w: Array) -> Calls:
        squares, ones, n = np.empty_like(w), np.ones(w.shape[1], self.dtype), w.shape[0]
        lengths, most = np.empty(n, self.dtype), constant(w, limit)
        return [
            partial(np.multiply, w, w, squares),
            partial(self._gemv, 1.0, squares, ones, 0.0, lengths, 0, 1, 0, 1, 0, 1),  # sums the rows
            partial(np.sqrt, lengths, lengths),
            partial(np.maximum, lengths, most, out=lengths),
            partial(np.divide, most, lengths, lengths),
            partial(np.multiply, w, lengths[:, None], w),
        ]

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

    def _scratch(self, like: Array) -> Array:
        """One scratch buffer a shape, for all the verbs: no two of them use it at once."""
        if like.shape not in self._scratches:
            self._scratches[like.shape] = np.empty_like(like)
        return self._scratches[like.shape]


def _adam_block(
    theta: Array, g: Array, m: Array, v: Array, beta1: float, beta2: float, rate: Array, small: Array
) -> Calls:
    """m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  θ ← θ − rate · m / (√v + small).  Overwrites g."""
    s = np.empty_like(g)
    return [
        partial(np.multiply, m, constant(m, beta1), m),
        partial(np.multiply, g, constant(g, 1 - beta1), s),
        partial(np.add, m, s, m),
        partial(np.multiply, v, constant(v, beta2), v),
        partial(np.multiply, g, g, g),
        partial(np.multiply, g, constant(g, 1 - beta2), g),
        partial(np.add, v, g, v),
        partial(np.sqrt, v, s),
        partial(np.add, s, small, s),
        partial(np.divide, m, s, s),
        partial(np.multiply, s, rate, s),
        partial(np.subtract, theta, s, theta),
    ]


def _rms_block(theta: Array, g: Array, v: Array, rho: float, rate: Array, epsilon: float) -> Calls:
    """v ← ρ v + (1 − ρ) g²;  θ ← θ − rate · g / (√v + ε)."""
    s = np.empty_like(g)
    return [
        partial(np.multiply, v, constant(v, rho), v),
        partial(np.multiply, g, g, s),
        partial(np.multiply, s, constant(g, 1 - rho), s),
        partial(np.add, v, s, v),
        partial(np.sqrt, v, s),
        partial(np.add, s, constant(s, epsilon), s),
        partial(np.divide, g, s, s),
        partial(np.multiply, s, rate, s),
        partial(np.subtract, theta, s, theta),
    ]
