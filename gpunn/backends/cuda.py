"""CUDA: the verbs as kernels of kernels.cu and products, on whatever `Device` there is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from gpunn import randoms
from gpunn.activations import Activation, Call, Calls
from gpunn.backends.base import NORM_EPSILON, NORM_MOMENTUM, UINT8_SCALE, Examples, Pass
from gpunn.backends.device import Buffer, Device
from gpunn.backends.kernels import KERNELS, activation_source, cost_source, preamble
from gpunn.costs import Cost
from gpunn.parameters import NORM_COLUMNS, Layout, Parameters
from gpunn.rates import CAPACITY, Rates, Scalar

THREADS = 256


@dataclass(frozen=True)
class Norm:
    """ẑ (n, m) and γ/√(σ² + ε) (n, 1) of a batch normalisation; by the mini-batch, or with fixed μ and σ²."""

    z: Buffer
    gain: Buffer
    by_batch: bool


class Cuda:
    """The verbs on a CUDA device. precision: float32, float64, or tf32 or bf16 products of float32."""

    name = "cuda"

    def __init__(self, device: Device, precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self.description = device.description
        self.dtype = np.dtype("float64" if precision == "float64" else "float32")
        self._constants = self.rates(0)
        self.one, self.zero = self._fixed(1), self._fixed(0)
        self._compiled = cache(lambda extra: device.compile(preamble(self.dtype) + extra + KERNELS))

    # storage

    def _new(self, shape: tuple[int, ...], dtype: Any = None) -> Buffer:
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        pointer, memory = self.device.allocate(max(1, math.prod(shape)) * dtype.itemsize)
        return Buffer(pointer, shape, dtype, memory)

    def _put(self, array: np.ndarray, dtype: Any = None) -> Buffer:
        array = np.asfortranarray(array, self.dtype if dtype is None else dtype)
        buffer = self._new(array.shape, array.dtype)
        self.device.write(buffer.pointer, array)
        return buffer

    def upload(self, array: np.ndarray) -> Buffer:
        return self._put(array)

    def download(self, array: Buffer) -> np.ndarray:
        host = np.empty(array.shape, array.dtype, order="F")
        self.device.read(array.pointer, host)
        return host

    def copy(self, array: Buffer, *, into: Buffer | None = None) -> Buffer:
        into = self._new(array.shape, array.dtype) if into is None else into
        self.device.copy(into.pointer, array.pointer, array.size * array.dtype.itemsize)
        return into

    def restore(self, values: np.ndarray, *, into: Buffer) -> None:
        if (values.shape, values.dtype) != (into.shape, into.dtype):
            raise ValueError(f"{values.dtype} {values.shape} is not {into.dtype} {into.shape}")
        self.device.write(into.pointer, np.ascontiguousarray(values))

    def matrix(self, n: int, m: int) -> Buffer:
        return self._new((n, m))

    def inputs(self, examples: Examples, m: int, dropout: float) -> Buffer:
        return replace(self.matrix(examples.X.shape[0], m), scale=1 / (1 - dropout))

    def hidden(self, n: int, m: int, over: Buffer, dropout: float) -> Buffer:
        return replace(over, scale=1 / (1 - dropout))

    def outputs(self, n: int, m: int, over: Buffer) -> Buffer:
        return over

    def label_buffer(self, m: int) -> Buffer:
        return self._new((m,), np.int64)

    def columns(self, buffer: Buffer, start: int, stop: int) -> Buffer:
        n = buffer.shape[0]
        return buffer.part(start * n, (n, stop - start))

    def parameters(self, layout: Layout) -> Parameters:
        return Parameters(layout, self._put(layout.zeros(self.dtype)), self.dtype.itemsize, Buffer.part)

    def norm(self, n: int, m: int, by_batch: bool) -> Norm:
        return Norm(self.matrix(n, m), self.matrix(n, 1), by_batch)

    def numbers(self, n: int) -> Buffer:
        return self._put(np.zeros(n), np.float64)

    def examples(
        self,
        X: np.ndarray,
        labels: np.ndarray | None,
        targets: np.ndarray | None,
        smoothing: float = 0.0,
        weights: np.ndarray | None = None,
    ) -> Examples:
        return Examples(
            self._put(X, np.uint8 if X.dtype == np.uint8 else None),
            None if labels is None else self._put(labels, np.int64),
            None if targets is None else self._put(targets),
            smoothing,
            None if weights is None else self._put(weights),
        )

    def new_pass(self, m: int) -> Pass:
        order, position = self._put(np.arange(m), np.int64), self._put(np.zeros(1), np.int64)
        step, key = self._put(np.zeros(1), np.int64), self._put(np.zeros(1), np.int64)
        hits, etas = self._put(np.zeros(m), np.uint8), self._put(np.zeros(m), np.float64)
        return Pass(order, self._new((m,)), hits, position, step, etas, key)

    def begin(self, p: Pass, order: np.ndarray, etas: np.ndarray | None = None, key: int = 0) -> None:
        self.device.write(p.order.pointer, order.astype(np.int64))
        for counter, value in ((p.position, 0), (p.step, 0), (p.key, key)):
            self.device.write(counter.pointer, np.full(1, value, np.int64))
        if etas is not None:
            self.device.write(p.etas.pointer, etas.astype(np.float64))

    def rates(self, eta: float) -> Rates:
        known = tuple(self._put(np.zeros(CAPACITY), np.float64) for _ in range(2))
        return Rates(eta, self._put(np.zeros(CAPACITY)), known)

    def _fixed(self, value: float) -> Buffer:
        return self._cell(Scalar(self._constants, value, 0))

    def _cell(self, scalar: Scalar) -> Buffer:
        """The scalar's number in device memory, as it is now."""
        rates, index = scalar.rates, scalar.index
        cell: Buffer = rates.values.part(index, (1,))
        self.device.write(cell.pointer, np.full(1, scalar.p + scalar.q * rates.eta, self.dtype))
        for kept, x in zip(rates.known_to_backend, (scalar.p, scalar.q), strict=True):
            self.device.write(kept.part(index, (1,)).pointer, np.full(1, x, np.float64))
        return cell

    def results(self, p: Pass) -> tuple[np.ndarray, np.ndarray]:
        return self.download(p.losses), self.download(p.hits)

    # verbs

    def gather(
        self, examples: Examples, p: Pass, *, x: Buffer, y: Buffer, labels: Buffer, weights: Any = None
    ) -> Calls:
        calls = self._gather(examples.X, p, x)
        if examples.targets is not None:
            calls += self._gather(examples.targets, p, y)
        if examples.labels is not None:
            calls += self._launch("gather_labels", labels.size, examples.labels, p.order, p.position, labels)
            on, off = examples.on_and_off(y.shape[0])
            calls += self._launch("targets_of", y.size, y.shape[0], labels, on, off, y)
        if weights is not None:
            calls += self._gather(examples.weights, p, weights)
        return calls

    def _gather(self, source: Buffer, p: Pass, out: Buffer) -> Calls:
        where = (out.size, out.shape[0], source, p.order, p.position)
        if source.dtype == np.uint8:
            return self._launch("gather_bytes", *where, UINT8_SCALE, out)
        return self._launch("gather_values", *where, out)

    def affine(self, theta: Parameters, layer: int, a: Buffer, *, out: Buffer) -> Calls:
        return [
            self._product(self._fixed(a.scale), theta.w[layer], a, self.zero, out),
            *self._launch("add_bias", out.size, out.shape[0], theta.b[layer], out),
        ]

    def normalize(self, theta: Parameters, layer: int, norm: Norm, *, out: Buffer) -> Calls:
        own, (n, m) = theta.norm[layer], out.shape
        assert own
        columns = (own[name] for name in NORM_COLUMNS)
        limits = int(norm.by_batch), NORM_EPSILON, NORM_MOMENTUM
        return self._launch("normalize", n, m, *limits, *columns, out, norm.z, norm.gain)

    def norm_error(
        self, norm: Norm, alpha: Scalar, beta: Scalar, *, out: Buffer, into: Parameters, layer: int
    ) -> Calls:
        own, (n, m) = into.norm[layer], out.shape
        assert own
        factors, places = (self._cell(alpha), self._cell(beta)), (own["gamma"], own["beta"])
        by_batch = int(norm.by_batch)
        return self._launch("norm_error", n, m, by_batch, *factors, norm.z, norm.gain, out, *places)

    def activate(self, f: Activation, z: Buffer, *, out: Buffer) -> Calls:
        if f.name == "softmax":
            return self._launch("softmax", out.shape[1], out.shape[0], z, out)
        return self._launch("activate", out.size, z, out, module=activation_source(f))

    def output_error(
        self, cost: Cost, f: Activation, z: Buffer, a: Buffer, y: Buffer, *, out: Buffer
    ) -> Calls:
        if cost.pairs_with == f.name:
            return self._launch("difference", out.size, a, y, out)
        if cost.cuda_columns:
            gradient = self._launch(cost.cuda_columns[1], y.shape[1], y.shape[0], a, y, out)
        else:
            gradient = self._launch("cost_gradient", out.size, a, y, out, module=cost_source(cost, f))
        return [*gradient, *self._times_derivative(f, out, a, z)]

    def drop(self, a: Buffer, mask: Buffer, rate: float, layer: int, p: Pass) -> Calls:
        least = randoms.threshold(rate)
        return self._launch("drop", a.size, least, layer, p.key, p.step, mask, a)

    def weigh(self, weights: Buffer, delta: Buffer) -> Calls:
        return self._launch("weigh", delta.size, delta.shape[0], weights, delta)

    def hidden_error(
        self,
        w: Buffer,
        delta: Buffer,
        f: Activation,
        z: Buffer,
        a: Buffer,
        mask: Buffer | None,
        *,
        out: Buffer,
    ) -> Calls:
        product = self._product(self._fixed(a.scale), w, delta, self.zero, out, trans_a=True)
        masking = [] if mask is None else self._launch("times", out.size, mask, out)
        return [product, *self._times_derivative(f, out, a, z), *masking]

    def _times_derivative(self, f: Activation, delta: Buffer, a: Buffer, z: Buffer) -> Calls:
        if f.name == "softmax":
            return self._launch("times_softmax_jacobian", delta.shape[1], delta.shape[0], delta, a)
        return self._launch("times_derivative", delta.size, delta, a, z, module=activation_source(f))

    def gradient(
        self, delta: Buffer, a: Buffer, alpha: Scalar, beta: Scalar, *, into: Parameters, layer: int
    ) -> Calls:
        n, m = delta.shape
        by, keep, scaled = self._cell(alpha), self._cell(beta), self._cell(alpha.times(a.scale))
        return [
            *self._launch("bias_gradient", n, m, delta, by, keep, into.b[layer]),  # BP3
            self._product(scaled, delta, a, keep, into.w[layer], trans_b=True),  # BP4
        ]

    def measure(
        self, cost: Cost, f: Activation, z: Buffer, a: Buffer, y: Buffer, labels: Any, p: Pass
    ) -> Calls:
        n, m = y.shape
        if cost.cuda_columns:
            calls = self._launch(cost.cuda_columns[0], m, n, a, y, p.losses, p.position)
        else:
            source = cost_source(cost, f)
            calls = self._launch("column_losses", m, n, a, y, z, p.losses, p.position, module=source)
        if labels is not None:
            threshold = float(cost.threshold)
            calls += self._launch("column_hits", m, n, a, labels, threshold, p.hits, p.position)
        return calls

    def weigh_losses(self, weights: Buffer, p: Pass) -> Calls:
        return self._launch("weigh_losses", weights.size, weights, p.losses, p.position)

    def collect(self, a: Buffer, p: Pass, *, into: Buffer) -> Calls:
        return self._launch("collect", a.size, a.shape[0], a, p.position, into)

    def advance(self, p: Pass, m: int) -> Calls:
        return self._launch("advance", 1, m, p.position)

    def follow(self, rates: Rates, p: Pass) -> Calls:
        p_and_q = rates.known_to_backend
        return self._launch("follow", CAPACITY, *p_and_q, p.etas, p.step, rates.values)

    def next_step(self, p: Pass) -> Calls:
        return self._launch("advance", 1, 1, p.step)

    def add(self, alpha: Scalar, x: Buffer, *, into: Buffer) -> Calls:
        return self._launch("add", x.size, self._cell(alpha), x, into)

    def scale(self, alpha: Scalar, x: Buffer) -> Calls:
        return self._launch("scale", x.size, self._cell(alpha), x)

    def adam(
        self,
        theta: Buffer,
        g: Buffer,
        m: Buffer,
        v: Buffer,
        eta: Scalar,
        beta1: float,
        beta2: float,
        epsilon: float,
        steps: Buffer,
    ) -> Calls:
        settings = [np.float64(x) for x in (beta1, beta2, epsilon)]
        return [
            *self._launch("adam_begin", 1, self._cell(eta), *settings, steps),
            *self._launch("adam", theta.size, theta, g, m, v, beta1, beta2, steps),
        ]

    def rms(self, theta: Buffer, g: Buffer, v: Buffer, eta: Scalar, rho: float, epsilon: float) -> Calls:
        return self._launch("rms", theta.size, theta, g, v, self._cell(eta), rho, epsilon)

    def shrink(self, limit: Scalar, x: Buffer) -> Calls:
        return self._launch("shrink", x.size, self._cell(limit), x)

    def clip(self, limit: float, x: Buffer) -> Calls:
        partial_sums, factor = self._new((THREADS,)), self._new((1,))
        return [
            *self._launch("sum_squares", THREADS, x.size, x, partial_sums),
            *self._launch("clip_factor", 1, THREADS, float(limit), partial_sums, factor),
            *self._launch("scale", x.size, factor, x),
        ]

    def bound_rows(self, limit: float, w: Buffer) -> Calls:
        return self._launch("bound_rows", w.shape[0], w.shape[1], float(limit), w)

    def _launch(self, kernel: str, count: int, *arguments: Any, module: str = "") -> Calls:
        """A kernel over `count` threads, which it takes as its first argument."""
        bound = (np.int64(count), *(self._argument(x) for x in arguments))
        return [self.device.launch(self._compiled(module)(kernel), count, bound)]

    def _argument(self, x: Any) -> Any:
        """Python's whole numbers are the kernels' Index, its floats their T."""
        return np.int64(x) if isinstance(x, int) else self.dtype.type(x) if type(x) is float else x

    def _product(
        self,
        alpha: Buffer,
        a: Buffer,
        b: Buffer,
        beta: Buffer,
        c: Buffer,
        trans_a: bool = False,
        trans_b: bool = False,
    ) -> Call:
        return self.device.product(alpha, a, b, beta, c, trans_a, trans_b, self.precision)
