"""The narrow waist on a real GPU, by CuPy; and whether there is one.

Nowhere else in gpunn is cupy imported, and only when a CUDA device is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.util import find_spec
from threading import get_ident
from typing import Any

import numpy as np

from gpunn.activations import Call
from gpunn.backends.base import BackendError
from gpunn.backends.cublaslt import Products, required
from gpunn.backends.cuda import Cuda
from gpunn.backends.device import Buffer, keeping

OLDEST_DRIVER = {12: 525, 13: 580}  # that a CUDA of that major version runs with
MIB = 2**20


class CupyDevice:
    """A CUDA device driven by CuPy, on one stream of its own."""

    def __init__(self, index: int = 0) -> None:
        import cupy

        cupy.cuda.Device(index).use()
        self.cupy, self.runtime = cupy, cupy.cuda.runtime
        properties = self.runtime.getDeviceProperties(index)
        self.description = f"cuda:{index} ({properties['name'].decode()})"
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self._capturing = False
        self._products = Products(self.stream.ptr, self.allocate, self.stream.synchronize)

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        """Zeros: a product whose beta is 0 may yet read what nobody wrote, and 0 · NaN is NaN."""
        self._refuse_capture("allocate")
        try:
            with self.stream:  # whose pool it belongs to: freed, it goes to who comes later in this stream
                memory = self.cupy.cuda.alloc(nbytes)
        except self.cupy.cuda.memory.OutOfMemoryError:
            total = self.runtime.memGetInfo()[1]
            raise BackendError(
                f"{self.description} is out of memory: {nbytes / MIB:.0f} MiB were needed, "
                f"{self.free_bytes() / MIB:.0f} of {total / MIB:.0f} MiB are free"
            ) from None
        self.runtime.memsetAsync(memory.ptr, 0, nbytes, self.stream.ptr)
        return memory.ptr, memory

    def free_bytes(self) -> int:
        free: int = self.runtime.memGetInfo()[0] + self.cupy.get_default_memory_pool().free_bytes()
        return free

    def pinned(self, nbytes: int) -> np.ndarray:
        self._refuse_capture("allocate")
        return np.frombuffer(self.cupy.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)

    def write(self, pointer: int, array: np.ndarray) -> None:
        self._copy(pointer, array.ctypes.data, array.nbytes, self.runtime.memcpyHostToDevice)

    def read(self, pointer: int, array: np.ndarray) -> None:
        self._copy(array.ctypes.data, pointer, array.nbytes, self.runtime.memcpyDeviceToHost)
        self.stream.synchronize()

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        self._copy(pointer, source, nbytes, self.runtime.memcpyDeviceToDevice)

    def _copy(self, to: int, source: int, nbytes: int, kind: int) -> None:
        self._refuse_capture("copy")
        self.runtime.memcpyAsync(to, source, nbytes, kind, self.stream.ptr)

    def mark(self) -> Call:
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.stream)
        return partial(event.synchronize)

    def compile(self, source: str) -> Callable[[str], Any]:
        find: Callable[[str], Any] = self.cupy.RawModule(code=source, options=("--std=c++17",)).get_function
        return find

    def launch(self, kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...]) -> Call:
        passed = tuple(np.uintp(x.pointer) if isinstance(x, Buffer) else x for x in arguments)
        alive = [x.memory for x in arguments if isinstance(x, Buffer)]
        return keeping(partial(self._launch, kernel, (blocks,), (threads,), passed), alive)

    def _launch(self, kernel: Any, *how: Any) -> None:
        with self.stream:
            kernel(*how)

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
        return required(self._products.bind(alpha, a, b, beta, c, (trans_a, trans_b), precision))

    def layer(
        self, alpha: Buffer, w: Buffer, a: Buffer, b: Buffer, out: Buffer, relu: bool, precision: str
    ) -> Call | None:
        return self._products.bind(alpha, w, a, None, out, (False, False), precision, b, relu)

    def capture(self, calls: Iterable[Call]) -> Call:
        kept = list(calls)
        self._refuse_capture("capture")
        self._capturing = True
        try:
            with self.stream:
                self.stream.begin_capture()
                try:
                    for call in kept:
                        call()
                finally:
                    graph = self.stream.end_capture()
        finally:
            self._capturing = False
        return keeping(partial(graph.launch, self.stream), kept)

    def _refuse_capture(self, what: str) -> None:
        """CUDA would let some of this pass, and do it again at each replay."""
        if self._capturing:
            raise BackendError(f"a bound call must not {what}: it is part of a graph")


def backend(index: int, precision: str) -> Cuda:
    """This thread's backend on that device: made once, so that all fits share its kernels and products."""
    return _backend(index, precision, get_ident())


@cache
def _backend(index: int, precision: str, thread: int) -> Cuda:
    return Cuda(_device(index, thread), precision)


@cache
def _device(index: int, thread: int) -> CupyDevice:
    return CupyDevice(index)


@cache
def explain(index: int = 0) -> str:
    """Why that CUDA device cannot be used, and what to do; empty if a step really ran on it."""
    if find_spec("cupy") is None:
        return "cupy is not installed: pip install 'gpunn[cuda13]', or cuda12 for an older driver"
    try:
        import cupy
        from cupy_backends.cuda.libs import nvrtc
    except Exception as error:  # cupy raises what its many libraries raise
        return f"cupy cannot be imported: {_one_line(error)}"
    if missing := _no_driver(cupy.cuda.runtime):
        return missing
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"no CUDA device answers: {_one_line(error)}"
    if index >= count:
        return f"there is no CUDA device {index}: this machine has {count}"
    for name, load in {"NVRTC": nvrtc.getVersion, "nvmath-python with cuBLASLt": _load_cublaslt}.items():
        try:
            load()
        except Exception as error:
            return f"{name} is missing: pip install 'gpunn[{_extra(cupy.cuda.runtime)}]' ({_one_line(error)})"
    try:
        _trial(backend(index, "float32"))
    except Exception as error:
        return f"CUDA device {index} failed its trial: {_one_line(error)}"
    return ""


def _no_driver(runtime: Any) -> str:
    """What is wrong with NVIDIA's driver; empty if it is there and new enough."""
    try:
        driver, needed = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000
    except Exception as error:
        return f"no NVIDIA driver: {_one_line(error)}"
    if driver == 0:
        return "no NVIDIA driver is installed"
    if driver < needed:
        oldest = OLDEST_DRIVER.get(needed, "newer")
        advice = f"update it to {oldest} or later, or pip install 'gpunn[cuda{driver}]' instead"
        return f"the NVIDIA driver knows CUDA {driver}, and this cupy is for CUDA {needed}: {advice}"
    return ""


def _extra(runtime: Any) -> str:
    return f"cuda{runtime.runtimeGetVersion() // 1000}"


def _load_cublaslt() -> None:
    from nvmath.bindings import cublasLt

    cublasLt.get_version()


def _trial(be: Cuda) -> None:
    """A product and a kernel, as a graph, and their results."""
    a, c = be.upload(np.eye(8)), be.upload(np.zeros((8, 8)))
    for call in be.plan([be._product(be.one, a, a, be.zero, c), *be._each("times", a.size, c, c)]):
        call()
    if not np.array_equal(be.download(c), np.eye(8)):
        raise BackendError("I·I ⊙ I came out wrong")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def devices() -> list[str]:
    """The CUDA devices that work, by name."""
    if explain():
        return []
    import cupy

    return [backend(k, "float32").description for k in range(cupy.cuda.runtime.getDeviceCount())]
