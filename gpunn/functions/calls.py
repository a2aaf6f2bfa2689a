"""Bound calls: the form in which NumPy computes a function without allocating.

A function is *bound* to its buffers once; what comes back is a list of calls that compute it in place,
as often as they are run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Call: TypeAlias = Callable[[], Any]
Calls: TypeAlias = list[Call]


def like(argument: Array, found: Any, what: str) -> Any:
    """What a function of the user's found. ValueError where that is not an array like its argument."""
    if np.shape(found) != argument.shape:
        raise ValueError(f"{what} of {argument.shape} must be an array of that shape, not {np.shape(found)}")
    return found


def constant(other: Array, value: float) -> Array:
    """A scalar as a 0-d array of the other's type: NumPy converts it once, here, and not in every call."""
    return np.array(value, other.dtype)


@lru_cache(maxsize=64)
def filled(shape: tuple[int, ...], dtype: np.dtype[Any], value: float) -> Array:
    """A column-major array of one value, to be read only: NumPy is 4× faster with it than with a scalar."""
    filled = np.full(shape, value, dtype, order="F")
    filled.flags.writeable = False
    return filled
