"""Arrays in the memory of a CUDA device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from gpunn.backends.cuda.allocating import AtOnce, InTurn
from gpunn.backends.cuda.device import BF16, WIDEST, Buffer, Device
from gpunn.backends.cuda.source import PACK_BYTES
from gpunn.backends.cuda.stacked import StackedScalar
from gpunn.core.examples import Examples
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.scalars import CAPACITY, Scalar, StepScalars


@dataclass(frozen=True)
class Norm:
    """Values that batch normalisation keeps from its forward pass for its backward pass.

    Attributes:
        z: ẑ (n, m).
        gain: γ/√(σ² + ε) (n, 1).
        by_batch: by the mini-batch's mean and variance, not by the running ones.
    """

    z: Buffer
    gain: Buffer
    by_batch: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.z.shape


@dataclass(frozen=True)
class Narrowed:
    """θ as products read it: rounded to bfloat16, in columns that start on whole WIDEST bytes.

    A library's fastest algorithms need matrices of whole PACK_BYTES in each direction. So w[l] is padded by
    zeros, which the padding of a and δ meets in the products, and b[l] by a 1 and zeros, which put the ones
    beneath a[l].

    Attributes:
        w, b: by layer, from 1 on, with their padding.
        flat: all of it.
        table: for each layer, its start in θ and in `flat`, n_l, the leading dimension, n_{l-1}, and the same
            rounded up.
    """

    w: list[Any]
    b: list[Any]
    flat: Buffer
    table: Buffer


class CudaMemory:
    """Arrays on a device.

    Args:
        device: the device.
        precision: "float32" or "float64" throughout; "tf32" is float32 with products in TF32; "bf16" is
            float32 with products of bfloat16, for which a, δ and a copy of θ are stored in bfloat16.
    """

    def __init__(self, device: Device, precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self.dtype = np.dtype("float64" if precision == "float64" else "float32")
        self.operand_dtype = BF16 if precision == "bf16" else self.dtype
        self._narrowed: WeakKeyDictionary[Parameters, Narrowed] = WeakKeyDictionary()
        self.allocator: InTurn | AtOnce | None = None
        self.fixed = cache(self._fixed)
        self.scratch_memory: Buffer | None = None
        self.one, self.zero = self.fixed(1.0), self.fixed(0.0)

    def new(self, shape: tuple[int, ...], dtype: Any = None, pitch: int = 0, zeros: bool = False) -> Buffer:
        """Allocate an array, with that many elements from a column to the next if it has a pitch."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        length = pitch * shape[1] if pitch else math.prod(shape)
        nbytes = max(1, length) * dtype.itemsize
        if self.allocator:
            pointer, memory, apart = self.allocator.allocate(nbytes, zeros)
        else:
            (pointer, memory), apart = self.device.allocate(nbytes, zeros), 0
        return Buffer(pointer, shape, dtype, memory, pitch=pitch, apart=apart)

    def put(self, array: np.ndarray, dtype: Any = None) -> Buffer:
        """Copy NumPy's array to the device."""
        array = np.asfortranarray(array, self.dtype if dtype is None else dtype)
        buffer = self.new(array.shape, array.dtype)
        for network in range(self.allocator.copies if self.allocator else 1):
            self.device.write(buffer.of(network).pointer, array)
        return buffer

    @contextmanager
    def using(self, allocator: InTurn | AtOnce | None) -> Iterator[None]:
        """Allocate for networks side by side, or with None for all of them together."""
        before, self.allocator = self.allocator, allocator
        try:
            yield
        finally:
            self.allocator = before

    def _fixed(self, value: float) -> Buffer:
        """Put a constant that everything shares."""
        with self.using(None):
            return self.put(np.full(1, value))

    def upload(self, array: np.ndarray) -> Buffer:
        return self.put(array)

    def download(self, array: Buffer) -> np.ndarray:
        host = np.empty((array.ld, *array.shape[1:]), array.dtype, order="F")
        self.device.read(array.pointer, host)
        return np.asfortranarray(host[: array.shape[0]])

    def copy(self, array: Buffer, *, into: Buffer | None = None) -> Buffer:
        into = self.new(array.shape, array.dtype) if into is None else into
        self.device.copy(into.pointer, array.pointer, array.nbytes)
        return into

    def restore(self, values: np.ndarray, *, into: Buffer) -> None:
        if (values.shape, values.dtype) != (into.shape, into.dtype):
            raise ValueError(f"expected {into.dtype} {into.shape}, not {values.dtype} {values.shape}")
        self.device.write(into.pointer, np.ascontiguousarray(values))

    def matrix(self, n: int, m: int) -> Buffer:
        return self.new((n, m))

    def operand(self, n: int, m: int) -> Buffer:
        pitch = self.up_to(WIDEST, n + 1)  # room for a row of ones
        return self.new((n, m), self.operand_dtype, pitch, zeros=self.operand_dtype == BF16)

    def bits(self, n: int, m: int) -> Buffer:
        """Allocate a bit for each element of a matrix; cuBLASLt needs its columns on whole 128 bits."""
        return self.new((-(-n // 8), m), np.uint8, pitch=-(-n // 128) * 16)

    def scratch(self, n: int, m: int) -> Buffer:
        """Return a matrix whose contents last until the next equation; all share the largest one's memory."""
        owner = self.allocator or self
        if owner.scratch_memory is None or owner.scratch_memory.size < n * m:
            owner.scratch_memory = self.new((n * m,), zeros=True)
        return owner.scratch_memory.part(0, (n, m))

    def up_to(self, nbytes: int, n: int) -> int:
        """Round a number of operands up to a multiple of so many bytes."""
        step = nbytes // self.operand_dtype.itemsize
        return -(-n // step) * step

    def numbers(self, n: int) -> Buffer:
        return self.put(np.zeros(n), np.float64)

    def scalars(self, eta: float) -> StepScalars:
        p, q = (self.put(np.zeros(CAPACITY), np.float64) for _ in range(2))
        return StepScalars(eta, self.put(np.zeros(CAPACITY)), (p, q))

    def cell(self, scalar: Scalar | StackedScalar) -> Buffer:
        """Return the scalar's value in device memory, which kernels and products read when they run."""
        if isinstance(scalar, StackedScalar):
            return scalar.cell(self)
        scalars, index = scalar.scalars, scalar.index
        if index not in scalars.cells:
            scalars.cells[index] = self.write_cell(scalar, index)
        found: Buffer = scalars.cells[index]
        return found

    def write_cell(self, scalar: Scalar, index: int) -> Buffer:
        """Write the scalar to this index of its table, and return where its value is."""
        scalars = scalar.scalars
        cell: Buffer = scalars.values.part(index, (1,))
        self.device.write(cell.pointer, np.full(1, scalar.value, self.dtype))
        for kept, x in zip(scalars.on_device, (scalar.p, scalar.q), strict=True):
            self.device.write(kept.part(index, (1,)).pointer, np.full(1, x, np.float64))
        return cell

    def new_parameters(self, layout: Layout, name: str = "θ") -> Parameters:
        return self._parameters(layout, self.put(layout.zeros(self.dtype)), name)

    def borrow(self, theta: Parameters) -> Parameters:
        return self._parameters(theta.layout, self.put(theta.flat))

    def low_precision(self, theta: Parameters) -> Parameters | Narrowed:
        """Return θ as products read it: θ itself, or its bfloat16 copy."""
        if self.operand_dtype == self.dtype:
            return theta
        if theta not in self._narrowed:
            self._narrowed[theta] = self._new_narrowed(theta.layout)
        return self._narrowed[theta]

    def _new_narrowed(self, layout: Layout) -> Narrowed:
        table, start = [], 0
        starts, _ = layout.blocks(self.dtype.itemsize)
        for at, (n_in, n) in zip(starts, pairwise(layout.sizes), strict=True):
            pitch, columns = self.up_to(WIDEST, n), self.up_to(PACK_BYTES, n_in)
            table.append((at, start, n, pitch, n_in, columns))
            start += pitch * (columns + 1)
        flat = self.new((start,), self.operand_dtype, zeros=True)
        w: list[Any] = [None]
        b: list[Any] = [None]
        for _, start, n, pitch, _, columns in table:
            rows = self.up_to(PACK_BYTES, n)
            w.append(replace(flat.part(start, (rows, columns)), pitch=pitch))
            b.append(flat.part(start + pitch * columns, (rows, 1)))
        return Narrowed(w, b, flat, self.put(np.array(table).T, np.int64))

    def _parameters(self, layout: Layout, flat: Buffer, name: str = "θ") -> Parameters:
        return Parameters(layout, flat, self.dtype.itemsize, Buffer.part, name)

    # the buffers of a chunk

    def inputs(self, examples: Examples, m: int, dropout: float, distorted: bool = False) -> Buffer:
        return self._input_of_a_layer(self.operand(examples.X.shape[0], m), dropout)

    def hidden(self, n: int, m: int, over: Buffer, dropout: float) -> Buffer:
        return self._input_of_a_layer(over, dropout)

    def _input_of_a_layer(self, a: Buffer, dropout: float) -> Buffer:
        """Scale what dropout keeps; the ones then hold 1/scale, which low precision would round."""
        return replace(a, scale=1 / (1 - dropout), ones=dropout == 0 or self.precision.startswith("float"))

    def outputs(self, n: int, m: int, over: Buffer) -> Buffer:
        return over

    def labels(self, m: int) -> Buffer:
        return self.new((m,), np.int64)

    def norm(self, n: int, m: int, by_batch: bool) -> Norm:
        return Norm(self.matrix(n, m), self.matrix(n, 1), by_batch)

    def columns(self, buffer: Buffer, start: int, stop: int) -> Buffer:
        found: Buffer = buffer.columns(start, stop)
        return found
