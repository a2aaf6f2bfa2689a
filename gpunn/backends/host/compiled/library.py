"""The library of compiled kernels, loaded."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from typing import Any

import numpy as np

from gpunn.backends.host.compiled.compiler import Built, CannotCompile, build, check_wanted
from gpunn.backends.host.compiled.source import source

log = logging.getLogger("gpunn")


class Kernels:
    """The kernels for one dtype, as one backend uses them.

    Attributes:
        checksum: of the library, which another compiler or another kind of processor would change.
        threads: the number of threads that share the operations.
    """

    def __init__(self, built: Built) -> None:
        self.run, self.checksum, self.threads = built.library.run, built.checksum, 1


def kernels(dtype: np.dtype[Any]) -> Kernels | None:
    """Return the kernels for a dtype, compiled if necessary; None if that is impossible or unwanted.

    Raises ValueError if GPUNN_COMPILED is neither 0 nor 1.
    """
    try:
        check_wanted()
    except CannotCompile:
        return None
    built = _loaded(dtype)
    return Kernels(built) if built else None


@cache
def _loaded(dtype: np.dtype[Any]) -> Built | None:
    """Load the kernels; a failure, too, holds for this process."""
    try:
        built = build(source(dtype))
    except CannotCompile as error:
        log.debug("gpunn: no compiled kernels: %s", error)
        return None
    index, pointer = ctypes.c_ssize_t, ctypes.c_void_p
    of_pass = pointer, pointer, index, index, ctypes.c_uint32
    run = built.library.run
    run.argtypes = pointer, index, ctypes.c_int, *of_pass, index, index, index
    run.restype = None
    return built
