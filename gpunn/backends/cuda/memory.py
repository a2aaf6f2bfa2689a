"""What the CUDA backend keeps on the device, and how it launches kernels there."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from gpunn.backends.cuda.device import BF16, Buffer, Device, Product
from gpunn.backends.cuda.source import KERNELS, LANES, PERSISTENT, ROWS, preamble
from gpunn.core.backend import BackendError, Examples, Pass
from gpunn.core.inputs import dense, on_device
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.rates import CAPACITY, Rates, Scalar
from gpunn.functions.calls import Call, Calls

THREADS = 256  # in a block, where it is no matter
MOST_STRIPS = 64  # of columns, for which a block of ROWS rows has threads
ROOM = 0.7  # of the free memory that examples may take
COUNTERS = 3  # position, step and key


@dataclass(frozen=True)
class Norm:
    """ẑ (n, m) and γ/√(σ² + ε) (n, 1) of a batch normalisation; by the mini-batch, or with fixed μ and σ²."""

    z: Buffer
    gain: Buffer
    by_batch: bool


@dataclass
class CudaPass(Pass):
    """inbox: position, step, key, order and etas side by side. outbox: losses and hits. on_host, back: what
    the one is sent from and the other comes back to, page-locked; of the first there are two, for this time
    and the next. `sent` waits until the next may be written again. expected: the order that is sent already.
    fed: how many columns of each `OnHost`, by its id, have been sent."""

    inbox: Buffer
    outbox: Buffer
    on_host: list[np.ndarray]
    back: np.ndarray
    sent: Call
    expected: np.ndarray | None = None
    fed: dict[int, int] = field(default_factory=dict)

    @property
    def order_on_host(self) -> np.ndarray:
        return self.on_host[0][COUNTERS : COUNTERS + self.order.size]


@dataclass
class OnHost:
    """A matrix that stays on the host, since the device has no room for it; dense and of `dtype` once it is
    there."""

    array: np.ndarray
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True)
class Launch:
    """A bound launch of a kernel, and what it was bound from."""

    kernel: str
    arguments: tuple[Any, ...]
    module: str
    run: Call

    def __call__(self) -> None:
        self.run()


class Storage:
    """Arrays on a device.

    precision: float32 or float64 throughout; or float32 with products in tf32; or float32 with products of
    bf16 and, where they are read by products, a, δ and a copy of θ in bf16.
    """

    name = "cuda"

    def __init__(self, device: Device, precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self.description = device.description
        self.dtype = np.dtype("float64" if precision == "float64" else "float32")
        self.operand_dtype = BF16 if precision == "bf16" else self.dtype
        self._copies: WeakKeyDictionary[Parameters, Parameters] = WeakKeyDictionary()
        self._fixed = cache(lambda value: self._put(np.full(1, value)))
        self.one, self.zero = self._fixed(1.0), self._fixed(0.0)
        self._compiled = cache(self._compile)

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
        self.device.copy(into.pointer, array.pointer, array.nbytes)
        return into

    def restore(self, values: np.ndarray, *, into: Buffer) -> None:
        if (values.shape, values.dtype) != (into.shape, into.dtype):
            raise ValueError(f"{values.dtype} {values.shape} is not {into.dtype} {into.shape}")
        self.device.write(into.pointer, np.ascontiguousarray(values))

    def matrix(self, n: int, m: int) -> Buffer:
        return self._new((n, m))

    def operand(self, n: int, m: int) -> Buffer:
        return self._new((n, m), self.operand_dtype)

    def inputs(self, examples: Examples, m: int, dropout: float) -> Buffer:
        return replace(self.operand(examples.X.shape[0], m), scale=1 / (1 - dropout))

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

    def borrow(self, theta: Parameters) -> Parameters:
        return Parameters(theta.layout, self._put(theta.flat), self.dtype.itemsize, Buffer.part)

    def _narrowed(self, theta: Parameters) -> Parameters:
        """θ as products read it: itself, or its copy of fewer bits, in the same places."""
        if self.operand_dtype == self.dtype:
            return theta
        if theta not in self._copies:
            flat = self._new(theta.flat.shape, self.operand_dtype)
            self._copies[theta] = Parameters(theta.layout, flat, self.dtype.itemsize, Buffer.part)
        return self._copies[theta]

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
        dtype = np.dtype("uint8") if X.dtype == np.uint8 else self.dtype
        return Examples(
            self.device.adopt(X, dtype) if on_device(X) else self._place(X, dtype),
            None if labels is None else self._put(labels, np.int64),
            None if targets is None else self._place(targets, self.dtype),
            smoothing,
            None if weights is None else self._put(weights),
        )

    def _place(self, array: np.ndarray, dtype: np.dtype[Any]) -> Buffer | OnHost:
        """On the device, if that leaves room for all else; or else on the host, with a line that says so."""
        needed, free = math.prod(array.shape) * dtype.itemsize, self.device.free_bytes()
        if needed <= ROOM * free:
            return self._put(dense(array), dtype)
        warnings.warn(
            f"{needed / 2**20:,.0f} MiB of examples stay on the host and are streamed to {self.description}, "
            f"of which {free / 2**20:,.0f} MiB are free: slower than if they had room there",
            stacklevel=2,
        )
        return OnHost(array, dtype)

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
            if isinstance(place, OnHost) and array is not None:
                place.array = array
            elif array is not None:
                self.device.write(place.pointer, np.asfortranarray(array, place.dtype))

    # a pass over the examples: one copy to the device when it begins, one back when it is over

    def new_pass(self, m: int) -> CudaPass:
        inbox = self._new((COUNTERS + 2 * m,), np.int64)
        outbox = self._new((m * (self.dtype.itemsize + 1),), np.uint8)
        p = CudaPass(
            position=inbox.part(0, (1,)),
            step=inbox.part(1, (1,)),
            key=inbox.part(2, (1,)),
            order=inbox.part(COUNTERS, (m,)),
            etas=inbox.part(COUNTERS + m, (m,), np.float64),
            losses=outbox.part(0, (m,), self.dtype),
            hits=outbox.part(m * self.dtype.itemsize, (m,)),
            inbox=inbox,
            outbox=outbox,
            on_host=[self.device.pinned(inbox.nbytes).view(np.int64) for _ in range(2)],
            back=self.device.pinned(outbox.nbytes),
            sent=self.device.mark(),
        )
        self.begin(p, np.arange(m))
        return p

    def begin(self, p: Any, order: np.ndarray, etas: np.ndarray | None = None, key: int = 0) -> None:
        if p.expected is not order:
            self.expect(p, order, key)
        p.expected = None
        p.on_host.reverse()
        p.fed.clear()
        if etas is not None:
            at = COUNTERS + len(order)
            now = p.on_host[0][at : at + len(etas)].view(np.float64)
            now[:] = etas
            self.device.write(p.etas.pointer, now)
            p.sent = self.device.mark()

    def expect(self, p: Any, order: np.ndarray, key: int) -> None:
        """Sent behind all that the device has still to do, which may read the last one."""
        p.sent()
        following = p.on_host[1][: COUNTERS + len(order)]
        following[:COUNTERS] = 0, 0, key
        following[COUNTERS:] = order
        self.device.write(p.inbox.pointer, following)
        p.expected, p.sent = order, self.device.mark()

    def results(self, p: Any) -> tuple[np.ndarray, np.ndarray]:
        self.device.read(p.outbox.pointer, p.back)
        m = p.losses.size
        return p.back[:-m].view(self.dtype), p.back[-m:]

    # scalars

    def rates(self, eta: float) -> Rates:
        known = tuple(self._put(np.zeros(CAPACITY), np.float64) for _ in range(2))
        return Rates(eta, self._put(np.zeros(CAPACITY)), known)

    def _cell(self, scalar: Scalar) -> Buffer:
        """The scalar's number in device memory, as it is now."""
        rates, new = scalar.rates, (scalar.p, scalar.q) not in scalar.rates.known
        cell: Buffer = rates.values.part(scalar.index, (1,))
        if new:
            self.device.write(cell.pointer, np.full(1, scalar.p + scalar.q * rates.eta, self.dtype))
            for kept, x in zip(rates.known_to_backend, (scalar.p, scalar.q), strict=True):
                self.device.write(kept.part(scalar.index, (1,)).pointer, np.full(1, x, np.float64))
        return cell

    # launches

    def _compile(self, module: str, persistent: bool = False) -> Callable[[str], Any]:
        """kernels.cu for what a module defines, and persistent.cu where it is asked for: kernels by name."""
        head, files = preamble(self.dtype, self.operand_dtype), KERNELS + (PERSISTENT if persistent else "")
        return self.device.compile(head + module + files, together=persistent)

    # those of kernels.cu take the number of their elements, columns or rows first

    def _each(self, kernel: str, count: int, *arguments: Any, module: str = "") -> Calls:
        """A thread an element."""
        return self._launch(kernel, -(-count // THREADS), THREADS, count, *arguments, module=module)

    def _columns(self, kernel: str, m: int, n: int, *arguments: Any, module: str = "") -> Calls:
        """A warp a column of n elements."""
        blocks = -(-m * LANES // THREADS)
        return self._launch(kernel, blocks, THREADS, m, n, *arguments, module=module)

    def _rows(self, kernel: str, n: int, m: int, *arguments: Any, module: str = "") -> Calls:
        """A block for every ROWS rows, with so many threads that each has some of the m columns to itself."""
        strips = min(MOST_STRIPS, max(LANES // ROWS, 1 << (max(1, m // 4) - 1).bit_length()))
        return self._launch(kernel, -(-n // ROWS), ROWS * strips, n, m, *arguments, module=module)

    def _launch(self, kernel: str, blocks: int, threads: int, *arguments: Any, module: str = "") -> Calls:
        bound = tuple(self._argument(x) for x in arguments)
        run = self.device.launch(self._compiled(module)(kernel), max(1, blocks), threads, bound)
        return [Launch(kernel, bound, module, run)]

    def _argument(self, x: Any) -> Any:
        """Python's whole numbers are the kernels' Index, its floats their T."""
        return np.int64(x) if isinstance(x, int) else self.dtype.type(x) if type(x) is float else x

    def _product(self, product: Product) -> Call:
        """One that nothing can stand in for."""
        call = self.device.product(product, self.precision)
        if call is None:
            raise BackendError(f"{self.description} has no algorithm for a product of these shapes")
        return call
