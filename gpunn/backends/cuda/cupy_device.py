"""The narrow waist on a real GPU, by CuPy, which is imported only when a CUDA device is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial, wraps
from threading import get_ident
from typing import Any, TypeVar, cast

import numpy as np

from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.cublaslt import Products
from gpunn.backends.cuda.device import WIDEST, Buffer, Product, keeping
from gpunn.core.backend import BackendError
from gpunn.functions.calls import Call

MIB = 2**20
FIRST_WITH_BF16 = 8, 0  # compute capability

Method = TypeVar("Method", bound=Callable[..., Any])


def there(method: Method) -> Method:
    """With the device as CUDA's current one, which afterwards is what it was: that choice is the caller's."""

    @wraps(method)
    def run(self: CupyDevice, *arguments: Any, **named: Any) -> Any:
        with self.device:
            return method(self, *arguments, **named)

    return cast(Method, run)


class CupyDevice:
    """A CUDA device driven by CuPy, on one stream of its own."""

    def __init__(self, index: int = 0) -> None:
        import cupy

        self.cupy, self.runtime, self.device = cupy, cupy.cuda.runtime, cupy.cuda.Device(index)
        properties = self.runtime.getDeviceProperties(index)
        self.description = f"cuda:{index} ({properties['name'].decode()})"
        self.capability = properties["major"], properties["minor"]
        self.processors = properties["multiProcessorCount"]
        self.shared_bytes = properties["sharedMemPerBlockOptin"] if properties["cooperativeLaunch"] else 0
        self._capturing = False
        with self.device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self._products = Products(self.stream.ptr, self.allocate, self.stream.synchronize)

    @there
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

    @there
    def free_bytes(self) -> int:
        free: int = self.runtime.memGetInfo()[0] + self.cupy.get_default_memory_pool().free_bytes()
        return free

    @there
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

    @there
    def _copy(self, to: int, source: int, nbytes: int, kind: int) -> None:
        self._refuse_capture("copy")
        self.runtime.memcpyAsync(to, source, nbytes, kind, self.stream.ptr)

    @there
    def adopt(self, array: Any, dtype: np.dtype[Any]) -> Buffer:
        self._refuse_capture("copy")
        with array.device:  # in the stream that fills it, behind what does
            own = array.astype(dtype, order="F", copy=False)
            ready = self.cupy.cuda.Event(disable_timing=True)
            ready.record()
        self.stream.wait_event(ready)
        if own.device.id != self.device.id or own.data.ptr % WIDEST:
            with self.stream:
                own = own.copy(order="F")
            self.stream.synchronize()  # before what it is a copy of may be gone
        return Buffer(own.data.ptr, own.shape, dtype, own)

    @there
    def mark(self) -> Call:
        self._refuse_capture("mark")
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.stream)
        return partial(event.synchronize)

    @there
    def compile(self, source: str, *, together: bool = False) -> Callable[[str], Any]:
        options = ("--std=c++17",)
        module = self.cupy.RawModule(code=source, options=options, enable_cooperative_groups=together)

        def find(name: str) -> Any:
            with self.device:
                return module.get_function(name)

        return find

    @there
    def launch(
        self, kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...], shared: int = 0
    ) -> Call:
        passed = tuple(np.uintp(x.pointer) if isinstance(x, Buffer) else x for x in arguments)
        alive = [x.memory for x in arguments if isinstance(x, Buffer)]
        if shared:  # more than a kernel may have unless it was told, for all its launches
            kernel.max_dynamic_shared_size_bytes = max(kernel.max_dynamic_shared_size_bytes, shared)
        how = partial(kernel, (blocks,), (threads,), passed, shared_mem=shared)
        return keeping(partial(self._run, how), alive)

    def _run(self, call: Call) -> None:
        with self.device, self.stream:
            call()

    @there
    def product(self, product: Product, precision: str) -> Call | None:
        return self._products.bind(product, precision)

    @there
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
        return keeping(partial(self._run, graph.launch), kept)

    def _refuse_capture(self, what: str) -> None:
        """CUDA would let some of this pass, and do it again at each replay."""
        if self._capturing:
            raise BackendError(f"a bound call must not {what}: it is part of a graph")


def backend(index: int, precision: str) -> Cuda:
    """This thread's backend on that device: made once, so that all fits share its kernels and products."""
    device = _device(index, get_ident())
    if precision == "bf16" and device.capability < FIRST_WITH_BF16:
        first, own = (f"{major}.{minor}" for major, minor in (FIRST_WITH_BF16, device.capability))
        raise BackendError(
            f"precision bf16 needs compute capability {first}, {device.description} has {own}: use float32"
        )
    return _backend(index, precision, get_ident())


@cache
def _backend(index: int, precision: str, thread: int) -> Cuda:
    return Cuda(_device(index, thread), precision)


@cache
def _device(index: int, thread: int) -> CupyDevice:
    return CupyDevice(index)
