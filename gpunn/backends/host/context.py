"""The context of lowering on the CPU: BLAS in the right precision, scratch memory, and scalars."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import numpy as np

from gpunn.backends.host import pool
from gpunn.core.scalars import Scalar
from gpunn.functions.calls import Array, Calls, zeros

ALONE = 1 << 18  # multiplications of a product that OpenBLAS computes on one thread


class Context:
    """BLAS routines, scratch buffers and scalars of one dtype."""

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        self.dtype = dtype
        self._scratches: dict[tuple[int, ...], Array] = {}
        self._work = 0

    @cached_property
    def gemm(self) -> Any:
        return self._routine("gemm")

    @cached_property
    def axpy(self) -> Any:
        return self._routine("axpy")

    @cached_property
    def nrm2(self) -> Any:
        return self._routine("nrm2")

    def _routine(self, name: str) -> Any:
        """Return a routine of SciPy's BLAS, which compiled kernels mostly do without."""
        return getattr(pool.load(), ("s" if self.dtype == np.float32 else "d") + name)

    def scratch(self, like: Array) -> Array:
        """Return the scratch buffer of that shape; all equations share it, since only one runs at a time."""
        if like.shape not in self._scratches:
            self._scratches[like.shape] = zeros(like.shape, like.dtype)
        return self._scratches[like.shape]

    def release(self) -> None:
        """Share no scratch buffer between what is bound and what will be."""
        self._scratches.clear()

    def cell(self, scalar: Scalar) -> Array:
        """Return the scalar as a 0-d view, which BLAS and the ufuncs read when they run."""
        scalars, index = scalar.scalars, scalar.index
        if index not in scalars.cells:
            scalars.values[index] = scalar.value
            scalars.cells[index] = scalars.values[index : index + 1].reshape(())
        cell: Array = scalars.cells[index]
        return cell

    def product(
        self,
        alpha: float | Array,
        a: Array,
        b: Array,
        beta: float | Array,
        c: Array,
        trans_a: int = 0,
        trans_b: int = 0,
    ) -> Calls:
        """c ← alpha op(a) op(b) + beta c, in place.

        Raises ValueError unless all are column-major and of this dtype: BLAS would silently copy them.
        """
        for operand in (a, b, c):
            if operand.dtype != self.dtype or not operand.flags.f_contiguous:
                raise ValueError(f"the product needs column-major {self.dtype}, not {operand.dtype}")
        work = c.size * a.shape[0 if trans_a else 1]
        self._work += work if work > ALONE else 0
        return [partial(self.gemm, alpha, a, b, beta, c, trans_a, trans_b, 1)]

    def take_work(self) -> int:
        """Return the multiplications of all products since the last call that threads share."""
        work, self._work = self._work, 0
        return work
