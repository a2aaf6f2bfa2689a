"""The library of compiled kernels, loaded."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from typing import Any

import numpy as np

from gpunn.backends.host.compiled.compiler import CannotCompile, build, check_wanted
from gpunn.backends.host.compiled.source import source

log = logging.getLogger("gpunn")


class Kernels:
    """The kernels for one dtype, as one backend uses them.

    threads: the number of threads that share the operations.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.run, self.threads = library.run, 1


def kernels(dtype: np.dtype[Any]) -> Kernels | None:
    """Return the kernels for a dtype, compiled if necessary; None if that is impossible or unwanted.

    Raises ValueError if GPUNN_COMPILED is neither 0 nor 1.
    """
    try:
        check_wanted()
    except CannotCompile:
        return None
    library = _loaded(dtype)
    return Kernels(library) if library else None


@cache
def _loaded(dtype: np.dtype[Any]) -> ctypes.CDLL | None:
    """Load the kernels; a failure, too, holds for this process."""
    try:
        library = build(source(dtype)).library
    except CannotCompile as error:
        log.debug("gpunn: no compiled kernels: %s", error)
        return None
    index, pointer = ctypes.c_ssize_t, ctypes.c_void_p
    of_pass = pointer, pointer, index, index, ctypes.c_uint32
    library.run.argtypes = pointer, index, ctypes.c_int, *of_pass, index, index, index
    library.run.restype = None
    return library
