"""The library of compiled kernels, loaded."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from typing import Any

import numpy as np

from gpunn.backends.host.compiled.compiler import CannotCompile, build, check_wanted
from gpunn.backends.host.compiled.source import source
from gpunn.backends.host.pool import Pool, cores

log = logging.getLogger("gpunn")


class Kernels:
    """The kernels for one dtype, with a number of threads that a `Pool` sets as it sets a BLAS library's.

    Attributes:
        checksum: of the library, which another compiler or another kind of processor would change.
    """

    def __init__(self, library: ctypes.CDLL, checksum: str, pool: Pool) -> None:
        self.checksum = checksum
        index, pointer = ctypes.c_ssize_t, ctypes.c_void_p
        of_pass = pointer, pointer, index, index, ctypes.c_uint32
        self.run = library.run
        self.run.argtypes = pointer, index, ctypes.c_int, *of_pass, index, index, index
        self.run.restype = None
        self.threads = max((library.get_num_threads() or 1 for library in pool.libraries), default=cores())
        pool.join(self)

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, num_threads: int) -> None:
        self.threads = num_threads


def kernels(dtype: np.dtype[Any], pool: Pool) -> Kernels | None:
    """Return the kernels for a dtype, compiled if necessary; None if that is impossible or unwanted.

    Raises ValueError if GPUNN_COMPILED is neither 0 nor 1.
    """
    try:
        check_wanted()
    except CannotCompile:
        return None
    return _loaded(dtype, pool)


@cache
def _loaded(dtype: np.dtype[Any], pool: Pool) -> Kernels | None:
    """Load the kernels; a failure, too, holds for this process."""
    try:
        built = build(source(dtype))
        return Kernels(built.library, built.checksum, pool)
    except CannotCompile as error:
        log.debug("gpunn: no compiled kernels: %s", error)
        return None
