"""CUDA through CuPy: the verbs as kernels of kernels.cu and cuBLAS products.

The verbs drive a GPU through the few operations of `Device`, which CuPy implements here. Nothing else in
gpunn imports cupy, and only when a CUDA device is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpunn import randoms
from gpunn.activations import Activation, Call, Calls
from gpunn.augmentation import Augmentation
from gpunn.backends.base import NORM_EPSILON, NORM_MOMENTUM, UINT8_SCALE, BackendError, Examples, Pass
from gpunn.costs import Cost
from gpunn.inputs import dense
from gpunn.parameters import NORM_COLUMNS, Layout, Parameters
from gpunn.rates import CAPACITY, Rates, Scalar

KERNELS = Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")
THREADS = 256
CUDA_R_32F, CUDA_R_64F, CUBLAS_GEMM_DEFAULT = 0, 1, -1  # NVIDIA's numbers


@dataclass(frozen=True)
class Buffer:
    """A column-major array in device memory; `memory` keeps what it points into alive.

    scale: by what the products that read it multiply it.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    memory: Any
    scale: float = 1.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def part(self, offset: int, shape: tuple[int, ...]) -> Buffer:
        """A view of that shape, beginning at that element."""
        return replace(self, pointer=self.pointer + offset * self.dtype.itemsize, shape=shape)


@dataclass(frozen=True)
class Norm:
    """ẑ (n, m) and γ/√(σ² + ε) (n, 1) of a batch normalisation; by the mini-batch, or with fixed μ and σ²."""

    z: Buffer
    gain: Buffer
    by_batch: bool


class Device(Protocol):
    """The narrow waist: all that the verbs need of a GPU."""

    description: str

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        """(pointer, what keeps it alive), with unspecified contents."""

    def write(self, pointer: int, array: np.ndarray) -> None:
        """Copy contiguous host memory to the device."""

    def read(self, pointer: int, array: np.ndarray) -> None:
        """Copy device memory into a contiguous host array, once all that was launched is done."""

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        """Copy from device memory to device memory."""

    def compile(self, source: str) -> Callable[[str], Any]:
        """Compile CUDA C++; what comes back finds a kernel by name."""

    def launch(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> Call:
        """A bound launch of that many threads. Buffers go as pointers, the rest as NumPy scalars."""

    def product(
        self,
        alpha: Buffer,
        a: Buffer,
        b: Buffer,
        beta: Buffer,
        c: Buffer,
        trans_a: bool,
        trans_b: bool,
        precision: str,
    ) -> Call:
        """A bound c ← alpha op(a) op(b) + beta c; where beta is zero, c is not read."""


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
            self._put(dense(X), np.uint8 if X.dtype == np.uint8 else None),
            None if labels is None else self._put(labels, np.int64),
            None if targets is None else self._put(targets),
            smoothing,
            None if weights is None else self._put(weights),
        )

    def refill(
        self,
        examples: Examples,
        X: np.ndarray,
        labels: np.ndarray | None,
        targets: np.ndarray | None,
        weights: np.ndarray | None,
    ) -> None:
        new = X, labels, targets, weights
        old = examples.X, examples.labels, examples.targets, examples.weights
        for array, place in zip(new, old, strict=True):
            if array is not None:
                self.device.write(place.pointer, np.asfortranarray(array, place.dtype))

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

    def distort(self, augmentation: Augmentation, x: Buffer, p: Pass) -> Calls:
        (height, width), (n, m) = augmentation.shape, x.shape
        images, drawn = self.matrix(n, m), (p.key, p.position)
        calls = self._launch("copy", x.size, x, images)
        down, aside = self.zero, self.zero
        if augmentation.elastic:
            along_row, along_column = (self._put(augmentation.smoothing(k)) for k in (width, height))
            fields = self.matrix(n, m), self.matrix(n, m)
            down, aside = self.matrix(n, m), self.matrix(n, m)
            sides = height, width
            calls += self._launch("noise_along_rows", x.size, *sides, along_row, *drawn, *fields)
            calls += self._launch("along_columns", x.size, *sides, along_column, *fields, down, aside)
        most = [float(v) for v in (np.radians(augmentation.rotate), augmentation.scale, augmentation.shift)]
        bent = float(augmentation.elastic), down, aside
        return [*calls, *self._launch("distort", x.size, height, width, *drawn, *most, *bent, images, x)]

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


def preamble(dtype: np.dtype[Any]) -> str:
    """The scalar type T of kernels.cu, and its limits."""
    name, suffix, limits = (
        ("double", "", np.finfo(dtype)) if dtype == np.float64 else ("float", "f", np.finfo(dtype))
    )
    return f"typedef {name} T;\n#define TINY {limits.tiny}{suffix}\n#define EPSNEG {limits.epsneg}{suffix}\n"


def activation_source(f: Activation) -> str:
    """The C spelling of an activation, for kernels.cu."""
    if f.cuda is None:
        raise BackendError(f"the activation '{f.name}' has no CUDA spelling: give Activation its `cuda` pair")
    return f"#define F(z) ({f.cuda[0]})\n#define F_PRIME(a, z) ({f.cuda[1]})\n"


def cost_source(cost: Cost, f: Activation) -> str:
    """The C spelling of a cost after an activation, for kernels.cu."""
    if cost.cuda is None:
        raise BackendError(f"the cost '{cost.name}' has no CUDA spelling: give Cost its `cuda` pair")
    loss = cost.cuda_of_z if cost.reads_z(f.name) else cost.cuda[0]
    return f"#define LOSS(a, y, z) ({loss})\n#define COST_GRADIENT(a, y) ({cost.cuda[1]})\n"


class CupyDevice:
    """A CUDA device driven by CuPy."""

    def __init__(self, index: int = 0) -> None:
        import cupy
        from cupy_backends.cuda.libs import cublas

        self.cupy, self.cublas, self.index = cupy, cublas, index
        cupy.cuda.Device(index).use()
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        self.description = f"cuda:{index} ({properties['name'].decode()})"
        self._handle = cupy.cuda.device.get_cublas_handle()
        cublas.setPointerMode(self._handle, cublas.CUBLAS_POINTER_MODE_DEVICE)  # alpha and beta lie there too
        self._compute = {
            "float32": cublas.CUBLAS_COMPUTE_32F,
            "float64": cublas.CUBLAS_COMPUTE_64F,
            "tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32,
            "bf16": cublas.CUBLAS_COMPUTE_32F_FAST_16BF,
        }

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        try:
            memory = self.cupy.cuda.alloc(nbytes)
        except self.cupy.cuda.memory.OutOfMemoryError:
            free, total = self.cupy.cuda.runtime.memGetInfo()
            raise BackendError(
                f"{self.description} is out of memory: {nbytes / 2**20:.0f} MiB were needed, "
                f"{free / 2**20:.0f} of {total / 2**20:.0f} MiB are free"
            ) from None
        return memory.ptr, memory

    def write(self, pointer: int, array: np.ndarray) -> None:
        runtime = self.cupy.cuda.runtime
        runtime.memcpy(pointer, array.ctypes.data, array.nbytes, runtime.memcpyHostToDevice)

    def read(self, pointer: int, array: np.ndarray) -> None:
        runtime = self.cupy.cuda.runtime
        runtime.memcpy(array.ctypes.data, pointer, array.nbytes, runtime.memcpyDeviceToHost)

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        runtime = self.cupy.cuda.runtime
        runtime.memcpy(pointer, source, nbytes, runtime.memcpyDeviceToDevice)

    def compile(self, source: str) -> Callable[[str], Any]:
        module = self.cupy.RawModule(code=source, options=("--std=c++17",))
        return module.get_function

    def launch(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> Call:
        passed = tuple(np.uintp(x.pointer) if isinstance(x, Buffer) else x for x in arguments)
        alive = [x.memory for x in arguments if isinstance(x, Buffer)]
        call = partial(kernel, (-(-threads // THREADS),), (THREADS,), passed)
        call.__dict__["alive"] = alive
        return call

    def product(
        self,
        alpha: Buffer,
        a: Buffer,
        b: Buffer,
        beta: Buffer,
        c: Buffer,
        trans_a: bool,
        trans_b: bool,
        precision: str,
    ) -> Call:
        (n, m), k = c.shape, a.shape[0] if trans_a else a.shape[1]
        real = CUDA_R_64F if c.dtype == np.float64 else CUDA_R_32F
        call = partial(
            self.cublas.gemmEx, self._handle, int(trans_a), int(trans_b), n, m, k,
            alpha.pointer, a.pointer, real, a.shape[0], b.pointer, real, b.shape[0],
            beta.pointer, c.pointer, real, c.shape[0], self._compute[precision], CUBLAS_GEMM_DEFAULT,
        )  # fmt: skip
        call.__dict__["alive"] = [x.memory for x in (alpha, a, b, beta, c)]
        return call


@cache
def explain(index: int = 0) -> str:
    """Why that CUDA device cannot be used, in one line; empty if a kernel and a product really ran on it."""
    if find_spec("cupy") is None:
        return "cupy is not installed"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # cupy raises what its many libraries raise
        return _one_line(error)
    if index >= count:
        return f"there is no CUDA device {index}: this machine has {count}"
    try:
        _trial(Cuda(CupyDevice(index)))
    except Exception as error:
        return f"CUDA device {index} failed its trial: {_one_line(error)}"
    return ""


def _trial(be: Cuda) -> None:
    """A product and a kernel, and their results."""
    a, c = be.upload(np.eye(8)), be.upload(np.zeros((8, 8)))
    for call in [be._product(be.one, a, a, be.zero, c), *be._launch("add", a.size, be.one, a, c)]:
        call()
    if not np.array_equal(be.download(c), 2 * np.eye(8)):
        raise BackendError("I·I + I came out wrong")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def devices() -> list[str]:
    """What CUDA devices there are, by CuPy's word."""
    if explain():
        return []
    import cupy

    return [CupyDevice(index).description for index in range(cupy.cuda.runtime.getDeviceCount())]
