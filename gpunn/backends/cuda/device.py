"""The narrow waist: the few operations through which the CUDA backend drives a GPU, and arrays on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from gpunn.core.ranks import Ranks
from gpunn.functions.calls import Call, Calls

BF16 = np.dtype("uint16")  # the bits of a bfloat16, a type that NumPy does not have
WIDEST = 32  # bytes of the widest load of any kernel; columns that products read start on as many


@dataclass(frozen=True)
class Buffer:
    """A column-major array in device memory.

    Attributes:
        memory: keeps the memory that `pointer` points into alive.
        scale: the factor of the products that read the array.
        pitch: elements from a column to the next; 0 if the columns are contiguous.
        ones: beneath each column there is room for one more element, 1/scale.
        apart: in a stack of networks, the bytes from a network's array to the next one's; 0 if they share it.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    memory: Any
    scale: float = 1.0
    pitch: int = 0
    ones: bool = False
    apart: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ld(self) -> int:
        """The leading dimension: elements from a column to the next."""
        return self.pitch or self.shape[0]

    @property
    def length(self) -> int:
        """The number of elements from the first to the end of the last column's padding."""
        return self.ld * math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        return self.length * self.dtype.itemsize

    def part(self, offset: int, shape: tuple[int, ...], dtype: Any = None) -> Buffer:
        """Return a contiguous view that starts at an element, reinterpreted if a dtype is given."""
        start = self.pointer + offset * self.dtype.itemsize
        return replace(self, pointer=start, shape=shape, dtype=np.dtype(dtype or self.dtype), pitch=0)

    def columns(self, start: int, stop: int) -> Buffer:
        """Return a view of some columns."""
        pointer = self.pointer + start * self.ld * self.dtype.itemsize
        return replace(self, pointer=pointer, shape=(self.shape[0], stop - start))

    def rows(self, count: int) -> Buffer:
        """Return a view with so many rows, which may include padding."""
        return replace(self, shape=(count, self.shape[1]), pitch=self.ld)

    def of(self, network: int) -> Buffer:
        """Return the array of another network of the stack."""
        return replace(self, pointer=self.pointer + network * self.apart)


@dataclass(frozen=True)
class Product:
    """c ← alpha op(a) op(b) + beta c, where op transposes if `trans_a` or `trans_b` says so.

    Each matrix has its own leading dimension, and the padding of its columns is neither read nor written. If
    beta is 0, the values in c do not matter, but they must be finite: a library may multiply them by 0.

    Attributes:
        alpha, beta: one number each, of the type in which the product is summed.
        a, b: of that type, or both bfloat16.
        c: of that type, or bfloat16 if a and b are.
        bias: (n, 1), of c's type; added to each column of c.
        relu: the sum with the bias goes through max(0, ·).
        bits: a bit for each element of c. With relu, the product sets it if the sum is above 0 (a library may
            also set it at 0, where max(0, ·) has no derivative). Without relu, an element whose bit is not
            set becomes 0, so δ becomes δ ⊙ f′. See `CudaMemory.bits`.
        networks: the product is done for so many networks of a stack. They share alpha and beta.
    """

    alpha: Buffer
    a: Buffer
    b: Buffer
    beta: Buffer
    c: Buffer
    trans_a: bool = False
    trans_b: bool = False
    bias: Buffer | None = None
    relu: bool = False
    bits: Buffer | None = None
    networks: int = 1

    @property
    def buffers(self) -> list[Buffer]:
        """Every buffer that the product reads or writes."""
        named = self.alpha, self.a, self.b, self.beta, self.c, self.bias, self.bits
        return [buffer for buffer in named if buffer]


class Device(Protocol):
    """Everything that lowering needs of a GPU.

    There is one stream: launches and copies are done in their order, asynchronously. A bound call keeps the
    memory of its buffers alive.

    Attributes:
        processors: the number of multiprocessors.
        shared_bytes: shared memory that a block may have on each of them.
        cluster: the largest number of blocks in a cluster; 1 if the device has no clusters.
    """

    description: str
    processors: int
    shared_bytes: int
    cluster: int

    def allocate(self, nbytes: int, zeros: bool = False) -> tuple[int, Any]:
        """Allocate memory: (pointer, what keeps it alive).

        Unless zeros are asked for, kernels must not read the contents before they are written. A device whose
        products read c even if beta is 0 always returns zeros.
        """

    def free_bytes(self) -> int:
        """Return how many bytes could still be allocated."""

    def pinned(self, nbytes: int) -> np.ndarray:
        """Allocate pinned host memory, as bytes."""

    def write(self, pointer: int, array: np.ndarray) -> None:
        """Copy contiguous host memory to the device.

        Pinned memory is read when its turn has come (see `mark`), other memory before this returns.
        """

    def read(self, pointer: int, array: np.ndarray) -> None:
        """Copy device memory into a contiguous host array, once everything launched is done."""

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        """Copy within the device."""

    def adopt(self, array: Any, dtype: np.dtype[Any]) -> Buffer:
        """Use CuPy's array without a copy, or copy it.

        It is used as it is if it is column-major, of that dtype, on this device and aligned for the widest
        loads.
        """

    def mark(self) -> Call:
        """Return a call that waits until everything launched so far is done."""

    def compile(self, source: str, *, together: bool = False) -> Callable[[str], Any]:
        """Compile CUDA C++; return a function that finds a kernel by name.

        together: all blocks of a launch run at the same time and may wait for each other.
        """

    def launch(
        self,
        kernel: Any,
        blocks: int,
        threads: int,
        arguments: tuple[Any, ...],
        shared: int = 0,
        networks: int = 1,
    ) -> Call:
        """Bind a launch of blocks of threads, each block with that many bytes of dynamic shared memory.

        There are so many blocks for each network of a stack: networks are the grid's y.

        Buffers are passed as pointers, all other arguments as NumPy scalars. If the
        kernel has `__cluster_dims__(k, 1, 1)`, each k consecutive blocks are a cluster: they run at the same
        time and may read each other's shared memory. The number of blocks must then be a multiple of k.
        """

    def product(self, product: Product, precision: str) -> Call | None:
        """Bind a product; return None if the device cannot do it in one call."""

    def fastest(self, task: str, ways: Mapping[str, Callable[[], Calls]]) -> str:
        """Return the name of the fastest way to do a task, by the clock; the first if nothing is to be timed.

        The choice is kept as those of algorithms are. ways: by name, a function that binds it for a trial.
        """

    def all_reduce(self, ranks: Ranks, x: Buffer) -> Call | None:
        """Bind x ← Σ x over all ranks; all of them call this in the same order.

        The call may be captured. None on every rank if the GPUs of the ranks cannot reach each other.
        """

    def capture(self, calls: Iterable[Call]) -> Call:
        """Record the calls' launches and products as one graph, without running them; return its replay."""

    def timer(self, calls: Iterable[Call]) -> Callable[[], float]:
        """Record the calls as one graph; return a function that runs it and returns its seconds."""

    def note_algorithms(self) -> Mapping[str, str]:
        """See `gpunn.core.backend.Backend`."""


def keeping(call: Call, *alive: Any) -> Call:
    """Return the call, which now keeps these objects alive."""
    bound = partial(call)
    bound.__dict__["alive"] = alive
    return bound
