"""`Device` on a real GPU, through CuPy, which is imported only when a CUDA device is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial, wraps
from threading import get_ident
from typing import Any, TypeVar, cast

import numpy as np

from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.cublaslt import Products
from gpunn.backends.cuda.device import WIDEST, Buffer, Product, keeping
from gpunn.core.backend import BackendError
from gpunn.core.ranks import Ranks
from gpunn.functions.calls import Call, Calls

MIB = 2**20
FIRST_WITH_BF16, FIRST_WITH_CLUSTERS = (8, 0), (9, 0)  # compute capabilities
CLUSTER = 8  # blocks: the largest cluster that every device with clusters can run

Method = TypeVar("Method", bound=Callable[..., Any])


def with_device(method: Method) -> Method:
    """Make the device CUDA's current device during the call; the caller's choice is restored afterwards."""

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
        self.shared_bytes = properties["sharedMemPerBlockOptin"]
        self.cluster = CLUSTER if self.capability >= FIRST_WITH_CLUSTERS else 1
        self._capturing = False
        self._joined: list[tuple[Ranks, Any]] = []
        machine = {
            "GPU": properties["name"].decode(),
            "processors": str(self.processors),
            "driver": str(self.runtime.driverGetVersion()),
        }
        with self.device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self._products = Products(
                self.stream.ptr, self.allocate, self.stream.synchronize, self.timer, machine
            )

    @with_device
    def allocate(self, nbytes: int, zeros: bool = True) -> tuple[int, Any]:
        """Allocate zeros: cuBLASLt may read c even if beta is 0, and 0 · NaN is NaN."""
        self._refuse_capture("allocate")
        try:
            with self.stream:  # from the stream's own pool: freed memory is reused in stream order
                memory = self.cupy.cuda.alloc(nbytes)
        except self.cupy.cuda.memory.OutOfMemoryError:
            total = self.runtime.memGetInfo()[1]
            raise BackendError(
                f"{self.description} is out of memory: {nbytes / MIB:,.0f} MiB were needed, "
                f"{self.free_bytes() / MIB:,.0f} of {total / MIB:,.0f} MiB are free; use smaller batches"
            ) from None
        self.runtime.memsetAsync(memory.ptr, 0, nbytes, self.stream.ptr)
        return memory.ptr, memory

    @with_device
    def free_bytes(self) -> int:
        free: int = self.runtime.memGetInfo()[0] + self.cupy.get_default_memory_pool().free_bytes()
        return free

    @with_device
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

    @with_device
    def _copy(self, to: int, source: int, nbytes: int, kind: int) -> None:
        self._refuse_capture("copy")
        self.runtime.memcpyAsync(to, source, nbytes, kind, self.stream.ptr)

    @with_device
    def adopt(self, array: Any, dtype: np.dtype[Any]) -> Buffer:
        self._refuse_capture("copy")
        with array.device:  # in the stream that fills the array, after the filling
            own = array.astype(dtype, order="F", copy=False)
            ready = self.cupy.cuda.Event(disable_timing=True)
            ready.record()
        self.stream.wait_event(ready)
        if own.device.id != self.device.id or own.data.ptr % WIDEST:
            with self.stream:
                own = own.copy(order="F")
            self.stream.synchronize()  # before the original may be freed
        return Buffer(own.data.ptr, own.shape, dtype, own)

    @with_device
    def mark(self) -> Call:
        self._refuse_capture("mark")
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.stream)
        return partial(event.synchronize)

    @with_device
    def compile(self, source: str, *, together: bool = False) -> Callable[[str], Any]:
        options = ("--std=c++17",)
        module = self.cupy.RawModule(code=source, options=options, enable_cooperative_groups=together)

        def find(name: str) -> Any:
            with self.device:
                return module.get_function(name)

        return find

    @with_device
    def launch(
        self,
        kernel: Any,
        blocks: int,
        threads: int,
        arguments: tuple[Any, ...],
        shared: int = 0,
        networks: int = 1,
    ) -> Call:
        passed = tuple(np.uintp(x.pointer) if isinstance(x, Buffer) else x for x in arguments)
        alive = [x.memory for x in arguments if isinstance(x, Buffer)]
        if shared:  # more than the default needs permission, for all launches of the kernel
            kernel.max_dynamic_shared_size_bytes = max(kernel.max_dynamic_shared_size_bytes, shared)
        how = partial(kernel, (blocks, networks), (threads,), passed, shared_mem=shared)
        return keeping(partial(self._run, how), alive)

    def _run(self, call: Call) -> None:
        with self.device, self.stream:
            call()

    @with_device
    def product(self, product: Product, precision: str) -> Call | None:
        return self._products.bind(product, precision)

    @with_device
    def all_reduce(self, ranks: Ranks, x: Buffer) -> Call | None:
        joined = [communicator for others, communicator in self._joined if others == ranks]
        if not joined:
            joined = [self._join(ranks)]
            self._joined.append((ranks, *joined))
        if joined[0] is None:
            return None
        nccl = self.cupy.cuda.nccl
        kind = nccl.NCCL_FLOAT64 if x.dtype == np.float64 else nccl.NCCL_FLOAT32
        what = x.pointer, x.pointer, x.size, kind, nccl.NCCL_SUM, self.stream.ptr
        return keeping(partial(self._run, partial(joined[0].allReduce, *what)), x.memory)

    def _join(self, ranks: Ranks) -> Any:
        """Make NCCL's communicator of these ranks; None on every rank if one of them cannot."""
        nccl = self.cupy.cuda.nccl
        if not everywhere(ranks, bool(getattr(nccl, "available", False))):
            return None
        key = ranks.from_first(nccl.get_unique_id)
        try:
            made = nccl.NcclCommunicator(ranks.size, key, ranks.rank)
        except nccl.NcclError:  # such as two ranks on one GPU
            made = None
        return made if everywhere(ranks, made is not None) else None

    @with_device
    def fastest(self, task: str, ways: Mapping[str, Callable[[], Calls]]) -> str:
        return self._products.fastest(task, ways)

    @with_device
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

    @with_device
    def timer(self, calls: Iterable[Call]) -> Callable[[], float]:
        replay, events = self.capture(calls), self.cupy.cuda
        begin, end = events.Event(), events.Event()

        def seconds() -> float:
            with self.device:
                begin.record(self.stream)
                replay()
                end.record(self.stream)
                end.synchronize()
                milliseconds: float = events.get_elapsed_time(begin, end)
            return milliseconds / 1000

        return seconds

    @with_device
    def note_algorithms(self) -> Mapping[str, str]:
        self._products.noted = {}
        return self._products.noted

    def _refuse_capture(self, what: str) -> None:
        """Raise BackendError during capture: CUDA would accept some calls and repeat them in replays."""
        if self._capturing:
            raise BackendError(f"a bound call must not {what}: it is part of a graph")


def everywhere(ranks: Ranks, true: bool) -> bool:
    """Whether this is true on every rank."""
    count = np.array([float(true)])
    ranks.sum(count)
    return bool(count[0] == ranks.size)


def backend(index: int, precision: str) -> Cuda:
    """Return this thread's backend on that device, made once, so that all fits share kernels and products."""
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
