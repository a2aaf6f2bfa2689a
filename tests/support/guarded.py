"""Compute on arrays that end where memory ends; run by test_compiled_products as a process, which may crash.

    python guarded.py DTYPE

Arrays begin or end at a page beside which nothing may be read or written.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from typing import Any

import numpy as np
import pytest
from kernel_operations import EQUATIONS, Maker, let_threads_share_everything, run
from sanitized_training import learn

from gpunn.backends.host.memory import HostMemory
from gpunn.core.parameters import Layout

SHAPES = 40
PROTECTED = 0  # PROT_NONE


class Pages:
    """Allocates column-major arrays that begin or end, in turn, where memory does; they are never freed."""

    def __init__(self) -> None:
        self.libc, self.kept = ctypes.CDLL(None, use_errno=True), []

    def __call__(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        page, size = mmap.PAGESIZE, math.prod(shape) * np.dtype(dtype).itemsize
        room = -(-size // page) * page
        pages = mmap.mmap(-1, room + 2 * page)
        at = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        for guard in (at, at + page + room):
            assert self.libc.mprotect(ctypes.c_void_p(guard), page, PROTECTED) == 0
        self.kept.append(pages)
        start = page if len(self.kept) % 2 else page + room - size
        return np.frombuffer(pages, dtype, math.prod(shape), start).reshape(shape, order="F")


def products(dtype: str, allocate: Pages) -> None:
    """Compute single equations of random shapes."""
    rng = np.random.default_rng(0)
    for k in range(SHAPES):
        n, n_in, m = (int(2 ** rng.uniform(0, 8)) for _ in range(3))
        for make_case in EQUATIONS.values():
            make = Maker(dtype, (n, n_in, m), allocate, k)
            (program,) = make.programs(make_case(make))
            run(program, 1 + k % 3)


def networks(dtype: str, allocate: Pages, patch: pytest.MonkeyPatch) -> None:
    """Train whole networks."""
    ones = lambda memory, n, m, scale: fill(allocate((n + 1, m), memory.dtype), 1 / scale)  # noqa: E731
    patch.setattr(HostMemory, "matrix", lambda memory, n, m: allocate((n, m), memory.dtype))
    patch.setattr(HostMemory, "_with_ones", ones)
    patch.setattr(HostMemory, "labels", lambda memory, m: allocate((m,), np.intp))
    patch.setattr(
        Layout, "zeros", lambda layout, dtype: allocate((layout.blocks(np.dtype(dtype).itemsize)[1],), dtype)
    )
    learn(dtype, 2)


def fill(x: np.ndarray, value: float) -> np.ndarray:
    x[...] = value
    return x


if __name__ == "__main__":
    patch, allocate = pytest.MonkeyPatch(), Pages()
    let_threads_share_everything(patch)
    products(sys.argv[1], allocate)
    networks(sys.argv[1], allocate, patch)
