"""Bound calls: how NumPy computes a function without allocating.

A function is *bound* to its buffers once, and returns a list of calls. Running the list computes the function
in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Call: TypeAlias = Callable[[], Any]
Calls: TypeAlias = list[Call]

LINE = 64  # bytes of a cache line


def zeros(shape: int | tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Allocate zeros, column-major, whose first element begins a cache line, so that vectors do, too."""
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    memory = np.zeros(count + LINE // dtype.itemsize, dtype)
    first = -memory.ctypes.data % LINE // dtype.itemsize
    return memory[first : first + count].reshape(shape, order="F")


def check_shape(result: Any, argument: Array, what: str) -> Any:
    """Return what a user's function computed. Raises ValueError unless it has the shape of its argument."""
    if np.shape(result) != argument.shape:
        raise ValueError(f"{what} must return an array of shape {argument.shape}, not {np.shape(result)}")
    return result


def constant(other: Array, value: float) -> Array:
    """A scalar as a 0-d array of `other`'s dtype, so that NumPy does not convert it in every call."""
    return np.array(value, other.dtype)
