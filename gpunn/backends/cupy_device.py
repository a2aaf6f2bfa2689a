"""The narrow waist on a real GPU, by CuPy; and whether there is one.

With nothing else in gpunn is cupy imported, and only when a CUDA device is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from gpunn.activations import Call
from gpunn.backends.base import BackendError
from gpunn.backends.cuda import THREADS, Cuda
from gpunn.backends.device import Buffer

CUDA_R_32F, CUDA_R_64F, CUBLAS_GEMM_DEFAULT = 0, 1, -1  # NVIDIA's numbers


class CupyDevice:
    """A CUDA device driven by CuPy."""

    def __init__(self, index: int = 0) -> None:
        import cupy
        from cupy_backends.cuda.libs import cublas

        self.cupy, self.cublas, self.index = cupy, cublas, index
        cupy.cuda.Device(index).use()
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        self.description = f"cuda:{index} ({properties['name'].decode()})"
        self._handle = cupy.cuda.device.get_cublas_handle()
        cublas.setPointerMode(self._handle, cublas.CUBLAS_POINTER_MODE_DEVICE)  # alpha and beta lie there too
        self._compute = {
            "float32": cublas.CUBLAS_COMPUTE_32F,
            "float64": cublas.CUBLAS_COMPUTE_64F,
            "tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32,
            "bf16": cublas.CUBLAS_COMPUTE_32F_FAST_16BF,
        }

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        try:
            memory = self.cupy.cuda.alloc(nbytes)
        except self.cupy.cuda.memory.OutOfMemoryError:
            free, total = self.cupy.cuda.runtime.memGetInfo()
            raise BackendError(
                f"{self.description} is out of memory: {nbytes / 2**20:.0f} MiB were needed, "
                f"{free / 2**20:.0f} of {total / 2**20:.0f} MiB are free"
            ) from None
        return memory.ptr, memory

    def write(self, pointer: int, array: np.ndarray) -> None:
        runtime = self.cupy.cuda.runtime
        runtime.memcpy(pointer, array.ctypes.data, array.nbytes, runtime.memcpyHostToDevice)

    def read(self, pointer: int, array: np.ndarray) -> None:
        runtime = self.cupy.cuda.runtime
        runtime.memcpy(array.ctypes.data, pointer, array.nbytes, runtime.memcpyDeviceToHost)

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        runtime = self.cupy.cuda.runtime
        runtime.memcpy(pointer, source, nbytes, runtime.memcpyDeviceToDevice)

    def compile(self, source: str) -> Callable[[str], Any]:
        module = self.cupy.RawModule(code=source, options=("--std=c++17",))
        return module.get_function

    def launch(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> Call:
        passed = tuple(np.uintp(x.pointer) if isinstance(x, Buffer) else x for x in arguments)
        alive = [x.memory for x in arguments if isinstance(x, Buffer)]
        call = partial(kernel, (-(-threads // THREADS),), (THREADS,), passed)
        call.__dict__["alive"] = alive
        return call

    def product(
        self,
        alpha: Buffer,
        a: Buffer,
        b: Buffer,
        beta: Buffer,
        c: Buffer,
        trans_a: bool,
        trans_b: bool,
        precision: str,
    ) -> Call:
        (n, m), k = c.shape, a.shape[0] if trans_a else a.shape[1]
        real = CUDA_R_64F if c.dtype == np.float64 else CUDA_R_32F
        call = partial(
            self.cublas.gemmEx, self._handle, int(trans_a), int(trans_b), n, m, k,
            alpha.pointer, a.pointer, real, a.shape[0], b.pointer, real, b.shape[0],
            beta.pointer, c.pointer, real, c.shape[0], self._compute[precision], CUBLAS_GEMM_DEFAULT,
        )  # fmt: skip
        call.__dict__["alive"] = [x.memory for x in (alpha, a, b, beta, c)]
        return call


@cache
def explain(index: int = 0) -> str:
    """Why that CUDA device cannot be used, in one line; empty if a kernel and a product really ran on it."""
    if find_spec("cupy") is None:
        return "cupy is not installed"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # cupy raises what its many libraries raise
        return _one_line(error)
    if index >= count:
        return f"there is no CUDA device {index}: this machine has {count}"
    try:
        _trial(Cuda(CupyDevice(index)))
    except Exception as error:
        return f"CUDA device {index} failed its trial: {_one_line(error)}"
    return ""


def _trial(be: Cuda) -> None:
    """A product and a kernel, and their results."""
    a, c = be.upload(np.eye(8)), be.upload(np.zeros((8, 8)))
    for call in [be._product(be.one, a, a, be.zero, c), *be._launch("add", a.size, be.one, a, c)]:
        call()
    if not np.array_equal(be.download(c), 2 * np.eye(8)):
        raise BackendError("I·I + I came out wrong")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def devices() -> list[str]:
    """What CUDA devices there are, by CuPy's word."""
    if explain():
        return []
    import cupy

    return [CupyDevice(index).description for index in range(cupy.cuda.runtime.getDeviceCount())]
