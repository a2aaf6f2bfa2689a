"""Products of blocks of matrices, by the address of BLAS's gemm.

SciPy's wrapper takes contiguous matrices only: it copies a block of rows. The function behind it takes the
distance between columns. A call through ctypes costs half a microsecond more than one through the wrapper.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_char, c_int, c_void_p
from functools import lru_cache, partial
from typing import Any

import numpy as np

from gpunn.functions.calls import Array, Call

SIGNATURE = b"void (char *, char *, int *, int *, int *, "  # how the name of the wrapped function begins


@lru_cache(maxsize=2)
def gemm(dtype: np.dtype[np.floating]) -> Callable[..., Any] | None:
    """Return gemm in float32 or float64; None if this SciPy does not say how to call it."""
    from scipy.linalg import cython_blas

    capsule, api = cython_blas.__pyx_capi__["sgemm" if dtype == np.float32 else "dgemm"], ctypes.pythonapi
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer_of = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    name = name_of(capsule)
    return ctypes.CFUNCTYPE(None)(pointer_of(capsule, name)) if name.startswith(SIGNATURE) else None


def block(alpha: Array, a: Array, b: Array, beta: Array, c: Array, trans_b: int) -> Call:
    """c ← alpha a op(b) + beta c, in place, for matrices whose columns are contiguous and may lie apart."""
    call = gemm(c.dtype)
    assert call
    (m, n), k = c.shape, a.shape[1]
    transposed = byref(c_char(b"N")), byref(c_char(b"T" if trans_b else b"N"))
    sizes = byref(c_int(m)), byref(c_int(n)), byref(c_int(k))
    return partial(call, *transposed, *sizes, _at(alpha), *_matrix(a), *_matrix(b), _at(beta), *_matrix(c))


def _at(x: Array) -> c_void_p:
    """Point to the first element; the pointer keeps the array."""
    return x.ctypes.data_as(c_void_p)


def _matrix(x: Array) -> tuple[Any, Any]:
    """Return a pointer to a matrix, and one to the distance between its columns."""
    return _at(x), byref(c_int(max(len(x), x.strides[1] // x.itemsize)))
