"""The narrow waist: the few operations by which the CUDA backend drives a GPU, and arrays in its memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from gpunn.activations import Call


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
