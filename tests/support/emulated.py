"""A CUDA device without a GPU: the same kernels, compiled by the host's C++ compiler.

Products are NumPy's. The device detects mistakes that a GPU would punish or silently accept: launches are
only done when somebody waits for them; new memory is poisoned with NaNs and fenced with guard bytes; a graph
is what was recorded, and holds pointers, not objects. It is a test instrument, not a device for users.
"""

from __future__ import annotations

import ctypes
import re
import time
import weakref
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from host_compiler import COMPILER, built
from host_products import bound_product

from gpunn.backends.cuda.device import BF16, Buffer, Product, keeping
from gpunn.core.ranks import Ranks
from gpunn.functions.calls import Call, Calls

__all__ = ["COMPILER", "EmulatedDevice", "Kernel"]

GUARD = 256
GUARD_BYTE, POISON_BYTE = 0xA5, 0xFF  # the poison makes every float a NaN
MOST_THREADS, MOST_BLOCKS, MOST_NETWORKS = 1024, 2**31 - 1, 2**16 - 1
RUNNING = Lock()  # a kernel's threads have stacks that all devices of this process share
OUTCOMES = {
    1: "a thread has left, and others wait for it at a barrier",
    2: "a write past the block's shared memory",
    3: "a wide load or store out of alignment",
}


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel: its C function, and the types of its parameters.

    Attributes:
        together: all blocks of a launch run at the same time.
    """

    name: str
    cluster: int
    run: Any
    types: list[np.dtype[Any]]
    together: bool


def _types(parameters: str, real: np.dtype[Any]) -> list[np.dtype[Any]]:
    """Return the NumPy types of a kernel's parameters; for a pointer, the type that it points to."""
    known = {"Index": "int64", "T": real, "double": "float64", "unsigned char": "uint8"}
    known |= {"Word": "uint64", "Member": "int64", "Bf16": BF16, "int": "int32"}
    names = (re.sub(r"const |\*|__restrict__|\w+\s*$", "", p).strip() for p in parameters.split(","))
    return [np.dtype(known[name]) for name in names]


@dataclass(frozen=True)
class Operation:
    """A launch, a copy or a product, and the memories it uses.

    The references are weak, because pointers on a GPU keep nothing alive.
    """

    run: Callable[[], None]
    names: tuple[weakref.ref[Any], ...]

    def held(self) -> list[Any]:
        memories = [name() for name in self.names]
        assert all(memory is not None for memory in memories), "a pointer whose memory was freed"
        return memories


@dataclass(frozen=True)
class Allocation:
    """Memory that the device has allocated, by a weak reference, and the fences around it."""

    memory: weakref.ref[Any]
    nbytes: int
    fences: tuple[np.ndarray, ...]

    def check(self) -> None:
        assert all((fence == GUARD_BYTE).all() for fence in self.fences), "a write before or past a buffer"


class EmulatedDevice:
    """`gpunn.backends.cuda.device.Device` on the host."""

    description = "emulated"
    processors = 8
    reaches_others = True  # whether all_reduce may be part of a graph
    lent: ClassVar[list[np.ndarray]] = []  # other libraries' arrays in the device's memory

    def __init__(self, nbytes: int = 1 << 40, shared_bytes: int = 0, cluster: int = 1) -> None:
        self.nbytes, self.shared_bytes, self.cluster = nbytes, shared_bytes, cluster
        self.allocations: dict[int, Allocation] = {}
        self.starts: list[int] = []  # of the allocations, in order
        self.pinned_memory: list[np.ndarray] = []
        self.recording: list[Operation] | None = None
        self.queue: list[tuple[Operation, list[Any]]] = []  # pending operations of the stream
        self.launches: dict[str, int] = {}
        self.complaints: list[str] = []
        self.uploads = self.synchronisations = 0

    # memory

    def allocate(self, nbytes: int, zeros: bool = False) -> tuple[int, Any]:
        self._refuse_capture("an allocation")
        block = np.full(nbytes + 3 * GUARD, GUARD_BYTE, np.uint8)
        start = 2 * GUARD - block.ctypes.data % GUARD  # aligned as cudaMalloc does
        memory = block[start : start + nbytes]
        memory[:] = 0 if zeros else POISON_BYTE
        pointer = block.ctypes.data + start
        fences = block[start - GUARD : start], block[start + nbytes :]
        self.allocations[pointer] = Allocation(weakref.ref(memory), nbytes, fences)
        insort(self.starts, pointer)
        weakref.finalize(memory, self._freed, pointer)
        return pointer, memory

    def _freed(self, pointer: int) -> None:
        self.starts.remove(pointer)
        try:
            self.allocations.pop(pointer).check()
        except AssertionError as error:  # exceptions in finalizers would be lost
            self.complaints.append(str(error))

    def free_bytes(self) -> int:
        return self.nbytes - sum(allocation.nbytes for allocation in self.allocations.values())

    def pinned(self, nbytes: int) -> np.ndarray:
        self._refuse_capture("an allocation")
        self.pinned_memory.append(np.empty(nbytes, np.uint8))
        return self.pinned_memory[-1]

    def check(self) -> None:
        """Finish everything launched, and check every fence."""
        self._synchronize()
        for allocation in self.allocations.values():
            allocation.check()
        assert not self.complaints, self.complaints

    def _memory(self, pointer: int, nbytes: int) -> weakref.ref[Any]:
        """Find the memory that holds all of these bytes."""
        for array in self.lent:
            if 0 <= pointer - array.ctypes.data <= array.nbytes - nbytes:
                return weakref.ref(array)
        at = bisect_right(self.starts, pointer) - 1
        assert at >= 0, "a pointer that the device never gave"
        allocation = self.allocations[self.starts[at]]
        assert pointer + nbytes <= self.starts[at] + allocation.nbytes, "a view past the end of its memory"
        return allocation.memory

    def write(self, pointer: int, array: np.ndarray) -> None:
        self._refuse_capture("a copy from the host")
        assert array.flags.c_contiguous or array.flags.f_contiguous
        self.uploads += 1
        pinned = any(np.may_share_memory(array, memory) for memory in self.pinned_memory)
        source = array if pinned else array.copy(order="K")  # as CUDA does with pageable memory
        copy = partial(ctypes.memmove, pointer, source.ctypes.data, source.nbytes)
        self._do(Operation(keeping(copy, source), (self._memory(pointer, array.nbytes),)))

    def read(self, pointer: int, array: np.ndarray) -> None:
        self._refuse_capture("a copy to the host")
        self._memory(pointer, array.nbytes)
        self._synchronize()
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        names = (self._memory(pointer, nbytes), self._memory(source, nbytes))
        self._do(Operation(partial(ctypes.memmove, pointer, source, nbytes), names))

    def adopt(self, array: Any, dtype: np.dtype[Any]) -> Buffer:
        self._refuse_capture("a copy")
        own = array.astype(dtype, order="F", copy=False)
        return Buffer(own.ctypes.data, own.shape, dtype, own)

    # the stream

    def _do(self, operation: Operation) -> None:
        if self.recording is not None:
            self.recording.append(operation)
        else:  # memory freed by the host is reused in stream order
            self.queue.append((operation, operation.held()))

    def _synchronize(self, until: int | None = None) -> None:
        self.synchronisations += 1
        done, self.queue = self.queue[:until], self.queue[until:] if until is not None else []
        with np.errstate(all="ignore"):
            for operation, _ in done:
                operation.run()

    def mark(self) -> Call:
        self._refuse_capture("an event")
        reached = Operation(lambda: None, ())
        self._do(reached)

        def wait() -> None:
            for at, (operation, _) in enumerate(self.queue):
                if operation is reached:
                    self._synchronize(at + 1)
                    return

        return wait

    def capture(self, calls: Iterable[Call]) -> Call:
        self._refuse_capture("a capture")
        kept = list(calls)
        self.recording = graph = []
        try:
            for call in kept:
                call()
        finally:
            self.recording = None

        def replay() -> None:
            self.queue.extend([(operation, operation.held()) for operation in graph])

        return keeping(replay, kept)

    def all_reduce(self, ranks: Ranks, x: Buffer) -> Call | None:
        if not self.reaches_others:
            return None
        flat = np.frombuffer((ctypes.c_uint8 * x.nbytes).from_address(x.pointer), x.dtype)
        operation = Operation(partial(ranks.sum, flat), (self._memory(x.pointer, x.nbytes),))
        return keeping(partial(self._do, operation), x.memory)

    def fastest(self, task: str, ways: Mapping[str, Callable[[], Calls]]) -> str:
        self._refuse_capture("a trial")
        return next(iter(ways))

    def timer(self, calls: Iterable[Call]) -> Callable[[], float]:
        replay = self.capture(calls)

        def seconds() -> float:
            self._synchronize()
            start = time.perf_counter()
            replay()
            self._synchronize()
            return time.perf_counter() - start

        return seconds

    def note_algorithms(self) -> Mapping[str, str]:
        return {}  # NumPy has one algorithm for each product

    def _refuse_capture(self, what: str) -> None:
        assert self.recording is None, f"{what} during capture"

    # kernels and products

    def compile(self, source: str, *, together: bool = False) -> Callable[[str], Any]:
        self._refuse_capture("a compilation")
        loaded, kernels = built(source)
        real = np.dtype("float64" if "typedef double T;" in source else "float32")
        found = {
            k.name: Kernel(
                k.name, k.cluster, getattr(loaded, f"run_{k.name}"), _types(k.parameters, real), together
            )
            for k in kernels
        }
        return found.__getitem__

    def launch(
        self,
        kernel: Any,
        blocks: int,
        threads: int,
        arguments: tuple[Any, ...],
        shared: int = 0,
        networks: int = 1,
    ) -> Call:
        name, run, types, together = kernel.name, kernel.run, kernel.types, kernel.together
        assert 1 <= threads <= MOST_THREADS, f"{name}: {threads} threads in a block"
        assert 1 <= blocks <= (self.processors if together else MOST_BLOCKS), f"{name}: {blocks} blocks"
        assert kernel.cluster <= self.cluster, f"{name}: a cluster of {kernel.cluster} blocks"
        assert blocks % kernel.cluster == 0, f"{name}: {blocks} blocks in clusters of {kernel.cluster}"
        assert 1 <= networks <= MOST_NETWORKS, f"{name}: {networks} networks"
        assert shared <= self.shared_bytes, f"{name}: {shared} bytes of shared memory"
        assert [x.dtype for x in arguments] == types, f"{name}: {[x.dtype for x in arguments]} for {types}"
        how = [ctypes.c_uint(x) for x in (blocks, networks, threads, shared)]
        passed = [*how, ctypes.c_bool(together), *(_c_argument(x) for x in arguments)]

        def on_the_device() -> None:
            self.launches[name] = self.launches.get(name, 0) + 1
            with RUNNING:
                outcome = OUTCOMES.get(run(*passed))
            assert outcome is None, f"{name}: {outcome}"

        return self._bound(on_the_device, [x for x in arguments if isinstance(x, Buffer)], networks)

    def product(self, product: Product, precision: str) -> Call | None:
        if (product.bias or product.bits) and product.c.dtype == np.float64:  # left to kernels
            return None
        operand = BF16 if precision == "bf16" else product.c.dtype
        assert product.a.dtype == product.b.dtype == operand, "operands of other types than the precision's"
        own = product.networks > 1 and (product.alpha.apart or product.beta.apart)
        assert not own, "a library's products share alpha and beta"
        each = [bound_product(product, precision, network) for network in range(product.networks)]

        def on_the_device() -> None:
            for one in each:
                one()

        return self._bound(on_the_device, product.buffers, product.networks)

    def _bound(self, run: Callable[[], None], buffers: list[Buffer], networks: int = 1) -> Call:
        names = [self._memory(x.pointer, (networks - 1) * x.apart + x.nbytes) for x in buffers]
        operation = Operation(run, tuple(names))
        return keeping(lambda: self._do(operation), *(x.memory for x in buffers))


def _c_argument(x: Any) -> Any:
    if isinstance(x, Buffer):
        return ctypes.c_void_p(x.pointer)
    kinds = {"int64": ctypes.c_longlong, "float32": ctypes.c_float, "float64": ctypes.c_double}
    return kinds[x.dtype.name](x.item())
