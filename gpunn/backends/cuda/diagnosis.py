"""Find out whether a CUDA device can be used; if not, say why and what to do about it, in one line."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import numpy as np

from gpunn.backends.cuda.device import Product
from gpunn.core.backend import BackendError
from gpunn.names import one_line

OLDEST_DRIVER = {12: 525, 13: 580}  # for each major version of CUDA that has an extra
NO_DRIVER = "no NVIDIA driver is installed"
OLDEST_DEVICE = 7, 5  # compute capability


@cache
def explain(index: int = 0) -> str:
    """Say why that CUDA device cannot be used; empty if a graph of a product and a kernel ran on it."""
    try:
        return next(filter(None, _obstacles(index)), "")
    except Exception as error:  # CuPy passes on whatever its libraries raise
        return f"CUDA device {index} failed its trial: {one_line(error)}"


if hasattr(os, "register_at_fork"):  # not on Windows; CUDA does not survive a fork
    os.register_at_fork(after_in_child=explain.cache_clear)


def _obstacles(index: int) -> Iterator[str]:
    """Yield each obstacle in the order in which it would be met; an empty string if it is not there."""
    yield _no_cupy()
    yield _no_driver()
    yield _no_device(index)
    yield _no_library()
    _try(index)


def _no_cupy() -> str:
    if find_spec("cupy") is None:
        return "cupy is not installed: pip install 'gpunn[cuda13]', or cuda12 for an older driver"
    if not _finds_driver():  # importing cupy takes half a second, which is wasted without a driver
        return NO_DRIVER
    try:
        import cupy  # noqa: F401
        from cupy_backends.cuda.libs import nvrtc  # noqa: F401
    except Exception as error:
        return f"cupy cannot be imported: {one_line(error)}"
    return ""


def _finds_driver() -> bool:
    """Whether the library of NVIDIA's driver can be loaded."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _no_driver() -> str:
    """Say what is wrong with NVIDIA's driver, if anything."""
    from cupy.cuda import runtime

    try:
        driver, needed = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000
    except Exception as error:
        return f"no NVIDIA driver: {one_line(error)}"
    if driver == 0:
        return NO_DRIVER
    if driver >= needed:
        return ""
    other = f", or pip install 'gpunn[cuda{driver}]' instead" if driver in OLDEST_DRIVER else ""
    return (
        f"the NVIDIA driver supports CUDA {driver}, but this cupy is for CUDA {needed}: update the driver to "
        f"{OLDEST_DRIVER.get(needed, 'a newer one')} or later{other}"
    )


def _no_device(index: int) -> str:
    from cupy.cuda import runtime

    try:
        count = runtime.getDeviceCount()
    except Exception as error:
        return f"no CUDA device answers: {one_line(error)}"
    if index >= count:
        return f"there is no CUDA device {index}: this machine has {count}"
    found = runtime.getDeviceProperties(index)
    capability = found["major"], found["minor"]
    if capability >= OLDEST_DEVICE:
        return ""
    own, oldest = (".".join(map(str, version)) for version in (capability, OLDEST_DEVICE))
    return f"{found['name'].decode()} has compute capability {own}: gpunn needs {oldest} or later"


def _no_library() -> str:
    """Say whether NVRTC, which compiles the kernels, or cuBLASLt, which multiplies, is missing."""
    from cupy.cuda import runtime
    from cupy_backends.cuda.libs import nvrtc

    name = "NVRTC"
    try:
        nvrtc.getVersion()
        name = "nvmath-python with cuBLASLt"
        from nvmath.bindings import cublasLt

        cublasLt.get_version()
    except Exception as error:
        extra = f"cuda{runtime.runtimeGetVersion() // 1000}"
        return f"{name} is missing: pip install 'gpunn[{extra}]' ({one_line(error)})"
    return ""


def _try(index: int) -> None:
    """Run a product and a kernel as a graph on the device, and check their result."""
    from gpunn.backends.cuda.cupy_device import backend  # not needed on a machine without CuPy

    be = backend(index, "float32")
    memory, k = be.memory, be.kernels
    a, c = memory.upload(np.eye(8)), memory.upload(np.zeros((8, 8)))
    product = k.product(Product(memory.one, a, a, memory.zero, c))
    for call in be.capture([product, *k.each("times", a.size, c, c)]):
        call()
    if not np.array_equal(memory.download(c), np.eye(8)):
        raise BackendError("a trial product, I·I ⊙ I, gave a wrong result")


def count() -> int:
    """Count the CUDA devices, whether they work or not."""
    if _no_cupy() or _no_driver():
        return 0
    from cupy.cuda import runtime

    try:
        found: int = runtime.getDeviceCount()
    except Exception:  # CuPy passes on whatever its libraries raise
        return 0
    return found


def devices() -> list[str]:
    """List the CUDA devices that work, by name."""
    if explain():
        return []
    from cupy.cuda import runtime

    from gpunn.backends.cuda.cupy_device import backend

    return [backend(k, "float32").description for k in range(runtime.getDeviceCount()) if not explain(k)]
