"""The narrow waist: the few operations by which the CUDA backend drives a GPU, and arrays in its memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from gpunn.functions.calls import Call

BF16 = np.dtype("uint16")  # its bits: NumPy has no such type
WIDEST = 32  # bytes that a kernel reads at once, at most


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

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def part(self, offset: int, shape: tuple[int, ...], dtype: Any = None) -> Buffer:
        """A view of that shape, beginning at that element, and as another type if one is given."""
        start = self.pointer + offset * self.dtype.itemsize
        return replace(self, pointer=start, shape=shape, dtype=np.dtype(dtype or self.dtype))


@dataclass(frozen=True)
class Product:
    """c ← alpha op(a) op(b) + beta c, where op transposes if so told; where beta is zero, c is not read.

    alpha, beta: one number each, in which is summed. a and b are of that type and so is c; or a and b are
    bf16, and c is either. bias (n, 1), of c's type: added to each column of c, which with relu then goes
    through max(0, ·).
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

    @property
    def buffers(self) -> list[Buffer]:
        """All that it reads and writes."""
        named = [self.alpha, self.a, self.b, self.beta, self.c]
        return [*named, self.bias] if self.bias else named


class Device(Protocol):
    """The narrow waist: all that the verbs need of a GPU.

    One stream: what is launched or copied is done in that order, and later. A bound call keeps the memory of
    its buffers alive.
    """

    description: str
    processors: int  # of its own, each with so many bytes of shared memory for a block:
    shared_bytes: int

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        """(pointer, what keeps it alive), with unspecified contents."""

    def free_bytes(self) -> int:
        """How much could still be allocated."""

    def pinned(self, nbytes: int) -> np.ndarray:
        """Page-locked host memory, as bytes."""

    def write(self, pointer: int, array: np.ndarray) -> None:
        """Copy contiguous host memory to the device. What is page-locked is read only when its turn has come
        (see `mark`), other memory before this returns."""

    def read(self, pointer: int, array: np.ndarray) -> None:
        """Copy device memory into a contiguous host array, once all that was launched is done."""

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        """Copy from device memory to device memory."""

    def adopt(self, array: Any, dtype: np.dtype[Any]) -> Buffer:
        """CuPy's array as it lies, if that is column-major, of that type, on this device and aligned for the
        widest loads; or else a copy of it."""

    def mark(self) -> Call:
        """A call that waits until all that has been launched so far is done."""

    def compile(self, source: str, *, together: bool = False) -> Callable[[str], Any]:
        """Compile CUDA C++; what comes back finds a kernel by name.

        together: all blocks of a launch run at the same time, and may wait for each other.
        """

    def launch(
        self, kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...], shared: int = 0
    ) -> Call:
        """A bound launch of blocks of so many threads, each block with so many bytes of dynamic shared
        memory. Buffers go as pointers, the rest as NumPy scalars."""

    def product(self, product: Product, precision: str) -> Call | None:
        """A bound product; None where it cannot be had in one go."""

    def capture(self, calls: Iterable[Call]) -> Call:
        """The calls' launches and products as one graph, recorded and not run: the call that replays it."""


def keeping(call: Call, *alive: Any) -> Call:
    """The call, which keeps these alive as long as it lives."""
    bound = partial(call)
    bound.__dict__["alive"] = alive
    return bound
