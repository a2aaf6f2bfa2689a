"""Bound calls: how NumPy computes a function without allocating.

A function is *bound* to its buffers once, and returns a list of calls. Running the list computes the function
in place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Call: TypeAlias = Callable[[], Any]
Calls: TypeAlias = list[Call]


def check_shape(result: Any, argument: Array, what: str) -> Any:
    """Return what a user's function computed. Raises ValueError unless it has the shape of its argument."""
    if np.shape(result) != argument.shape:
        raise ValueError(f"{what} must return an array of shape {argument.shape}, not {np.shape(result)}")
    return result


def constant(other: Array, value: float) -> Array:
    """A scalar as a 0-d array of `other`'s dtype, so that NumPy does not convert it in every call."""
    return np.array(value, other.dtype)


@lru_cache(maxsize=64)
def filled(shape: tuple[int, ...], dtype: np.dtype[Any], value: float) -> Array:
    """A read-only column-major array of one value: NumPy is 4× faster with it than with a scalar."""
    filled = np.full(shape, value, dtype, order="F")
    filled.flags.writeable = False
    return filled
