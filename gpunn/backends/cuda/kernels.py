"""Bound launches of kernels, and bound products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import Buffer, Product
from gpunn.backends.cuda.memory import CudaMemory
from gpunn.backends.cuda.source import (
    KERNELS,
    LANES,
    MOST_STRIPS,
    PACK_BYTES,
    ROWS,
    THREADS,
    preamble,
)
from gpunn.core.backend import BackendError
from gpunn.functions.calls import Call, Calls


class Kernels:
    """Binds kernels and products to buffers of one memory.

    `each`, `elements`, `packs`, `columns` and `rows` are for kernels that take the number of their elements,
    columns or rows first. Python's integers become the kernels' Index, its floats their T.

    Attributes:
        pack: operands that a thread reads or writes at once.
        networks: how many networks of a stack each launch and each product serves.
    """

    networks = 1

    def __init__(self, memory: CudaMemory) -> None:
        self.memory, self.device = memory, memory.device
        self.pack = PACK_BYTES // memory.operand_dtype.itemsize
        self.compiled = cache(self._compile)

    def _compile(self, module: str, more: str = "", together: bool = False) -> Callable[[str], Any]:
        """Compile kernels.cu, and perhaps another file, with a module's definitions; find kernels by name."""
        head = preamble(self.memory.dtype, self.memory.operand_dtype)
        return self.device.compile(head + module + KERNELS + more, together=together)

    def each(self, kernel: str, count: int, *arguments: Any, module: str = "") -> Calls:
        """Launch one thread for each element."""
        return self.launch(kernel, -(-count // THREADS), THREADS, count, *arguments, module=module)

    def elements(self, kernel: str, n: int, m: int, *arguments: Any, module: str = "") -> Calls:
        """Launch one thread for each element of a matrix."""
        return self.launch(kernel, -(-n * m // THREADS), THREADS, n, m, *arguments, module=module)

    def packs(self, kernel: str, n: int, m: int, *arguments: Any, module: str = "") -> Calls:
        """Launch one thread for each pack of a matrix' elements."""
        threads = -(-n // self.pack) * m
        return self.launch(kernel, -(-threads // THREADS), THREADS, n, m, *arguments, module=module)

    def columns(self, kernel: str, m: int, n: int, *arguments: Any, module: str = "") -> Calls:
        """Launch one warp for each column of n elements."""
        blocks = -(-m * LANES // THREADS)
        return self.launch(kernel, blocks, THREADS, m, n, *arguments, module=module)

    def rows(self, kernel: str, n: int, m: int, *arguments: Any, module: str = "") -> Calls:
        """Launch one block for every ROWS rows, with enough threads that each has a few of the m columns."""
        strips = min(MOST_STRIPS, max(LANES // ROWS, 1 << (max(1, m // 4) - 1).bit_length()))
        return self.launch(kernel, -(-n // ROWS), ROWS * strips, n, m, *arguments, module=module)

    def launch(
        self, kernel: str, blocks: int, threads: int, *arguments: Any, module: str = "", shared: int = 0
    ) -> Calls:
        """Launch a number of blocks of so many threads each, for each network of the stack.

        shared: bytes of dynamic shared memory of each block.
        """
        found, given = self.compiled(module)(kernel), self.arguments(*chain(*map(each, arguments)))
        return [self.device.launch(found, max(1, blocks), threads, given, shared, self.networks)]

    def arguments(self, *arguments: Any) -> tuple[Any, ...]:
        """Convert Python's numbers to the kernels' types."""
        real = self.memory.dtype.type
        return tuple(
            np.int64(x) if isinstance(x, int) else real(x) if type(x) is float else x for x in arguments
        )

    @property
    def times(self) -> str:
        """Say for how many networks, at the end of a task's name; nothing for one network."""
        return f", {self.networks} networks" if self.networks > 1 else ""

    def try_product(self, product: Product) -> Call | None:
        """Bind a product; return None if the device cannot do it in one call."""
        return self.device.product(replace(product, networks=self.networks), self.memory.precision)

    def product(self, product: Product) -> Call:
        """Bind a product. Raises BackendError if the device has no algorithm for it."""
        if (call := self.try_product(product)) is None:
            raise BackendError(f"{self.device.description} has no algorithm for a product of these shapes")
        return call


def each(argument: Any) -> tuple[Any, ...]:
    """Return the arguments for a parameter of a kernel: EACH(X, name) takes an array and its `apart`."""
    return (argument, argument.apart) if isinstance(argument, Buffer) else (argument,)
