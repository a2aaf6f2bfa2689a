"""Stand-ins for cupy and nvmath that let CupyDevice run without a GPU and check its every call.

Device memory is the host's, kernels are the emulated device's, cuBLASLt's products are NumPy's. There is only
what gpunn calls, with the signatures of CuPy 14 and nvmath-python 1.0.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from emulated import EmulatedDevice, Kernel, _c_argument
from host_products import finished, read, written

from gpunn.backends.cuda import cupy_device, diagnosis
from gpunn.backends.cuda.device import BF16

MAGIC = 0x600DA160


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class cuBLASLtError(RuntimeError):
    pass


@dataclass
class Machine:
    """The state of the fake machine, and a log of the calls."""

    driver: int = 13000
    runtime: int = 13020
    devices: int = 1
    nbytes: int = 1 << 30
    nvrtc: bool = True
    broken_products: bool = False  # all results are zeros
    refused: set[str] = field(default_factory=set)  # precisions without any algorithm
    epilogues: bool = True
    shared_bytes: int = 0
    capability: tuple[int, int] = (9, 0)
    offered: int = 3  # candidates of the heuristic
    failing_algorithms: int = 0  # how many of them fail
    taken: dict[int, float] = field(default_factory=dict)  # seconds of a product by a candidate, if not 1e-6
    clock: float = 0.0  # seconds that products and kernels have taken, 1e-6 for each kernel
    ran: list[int] = field(default_factory=list)  # the candidate by which each product was computed
    current: Any = None  # stream
    device: int = 0  # the current one
    recording: list[Any] | None = None
    log: list[str] = field(default_factory=list)
    live: dict[int, int] = field(default_factory=dict)
    descriptions: int = 0  # of products, not yet destroyed

    def do(self, what: str, action: Any) -> None:
        """Run the action now, or record it if a graph is being captured."""
        self.log.append(what)
        if self.recording is None:
            action()
        else:
            self.recording.append(action)


class Enum(enum.IntEnum):
    pass


MatmulDescAttribute = Enum(
    "MatmulDescAttribute",
    {
        "POINTER_MODE": 2,
        "TRANSA": 3,
        "TRANSB": 4,
        "EPILOGUE": 7,
        "BIAS_POINTER": 8,
        "BIAS_BATCH_STRIDE": 10,
        "EPILOGUE_AUX_POINTER": 11,
        "EPILOGUE_AUX_LD": 12,
        "EPILOGUE_AUX_BATCH_STRIDE": 13,
    },
)
MatrixLayoutAttribute = Enum("MatrixLayoutAttribute", {"BATCH_COUNT": 5, "STRIDED_BATCH_OFFSET": 6})
MatmulPreferenceAttribute = Enum(
    "MatmulPreferenceAttribute",
    {
        "MAX_WORKSPACE_BYTES": 1,
        "MIN_ALIGNMENT_A_BYTES": 5,
        "MIN_ALIGNMENT_B_BYTES": 6,
        "MIN_ALIGNMENT_C_BYTES": 7,
        "MIN_ALIGNMENT_D_BYTES": 8,
    },
)
Epilogue = Enum("Epilogue", {"DEFAULT": 1, "BIAS": 4, "RELU_BIAS": 6, "RELU_AUX_BIAS": 134, "DRELU": 136})
PointerMode = Enum("PointerMode", {"HOST": 0, "DEVICE": 1})
ComputeType = Enum(
    "ComputeType",
    {"COMPUTE_32F": 68, "COMPUTE_64F": 70, "COMPUTE_32F_FAST_TF32": 77},
)
CudaDataType = Enum("CudaDataType", {"CUDA_R_32F": 0, "CUDA_R_64F": 1, "CUDA_R_16BF": 14})
TYPES = {0: np.dtype("float32"), 1: np.dtype("float64"), 14: BF16}
PRECISIONS = {68: "float32", 70: "float64", 77: "tf32"}
DESC_TYPES = {2: np.int32, 3: np.int32, 4: np.int32, 7: np.uint32} | dict.fromkeys(
    (8, 10, 11, 12, 13), np.int64
)
LAYOUT_TYPES = {5: np.int32, 6: np.int64}
PREFERENCE_TYPES = {1: np.uint64, 5: np.uint32, 6: np.uint32, 7: np.uint32, 8: np.uint32}
RESULT = np.dtype(
    [
        ("algo", [("data_", "<u8", (8,))]),
        ("workspace_size", "<u8"),
        ("state", "<i4"),
        ("waves_count", "<f4"),
        ("reserved", "<i4", (4,)),
    ]
)


def view(pointer: int, dtype: Any, *shape: int, ld: int = 0) -> np.ndarray:
    """View column-major memory at a pointer, from column to column ld elements."""
    n, m, *_ = *shape, 1
    itemsize = np.dtype(dtype).itemsize
    raw = (ctypes.c_char * (((ld or n) * (m - 1) + n) * itemsize)).from_address(pointer)
    return np.ndarray(shape, dtype, raw, strides=(itemsize, (ld or n) * itemsize)[: len(shape)])


@dataclass
class Device:
    machine: Machine
    id: int
    before: list[int] = field(default_factory=list)

    def __enter__(self) -> Device:
        self.before.append(self.machine.device)
        self.machine.device = self.id
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.device = self.before.pop()


class Stream:
    machine: Machine

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking
        self.ptr, self.device = 7, self.machine.device

    def __enter__(self) -> Stream:
        assert self.machine.device == self.device, "the stream of another device"
        self.before, self.machine.current = self.machine.current, self
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.current = self.before

    def begin_capture(self) -> None:
        assert self.machine.current is self
        assert self.machine.recording is None
        self.machine.recording = []

    def end_capture(self) -> Any:
        recorded, self.machine.recording = self.machine.recording, None
        assert recorded is not None

        def launch() -> None:
            assert self.machine.current is self
            self.machine.log.append("graph")
            for action in recorded:
                action()

        return SimpleNamespace(launch=launch)

    def synchronize(self) -> None:
        assert self.machine.recording is None
        self.machine.log.append("synchronize")

    def wait_event(self, event: Any) -> None:
        assert self.machine.recording is None
        self.machine.log.append("wait in the stream")


class Lt:
    """nvmath.bindings.cublasLt."""

    MatmulDescAttribute, MatmulPreferenceAttribute = MatmulDescAttribute, MatmulPreferenceAttribute
    MatrixLayoutAttribute = MatrixLayoutAttribute
    Epilogue, PointerMode, cuBLASLtError = Epilogue, PointerMode, cuBLASLtError
    matmul_heuristic_result_dtype = RESULT

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.things: dict[int, Any] = {}

    def _new(self, thing: Any) -> int:
        self.things[len(self.things) + 100] = thing
        return len(self.things) + 99

    def get_version(self) -> int:
        return 130800

    def create(self) -> int:
        return self._new("handle")

    def matmul_desc_create(self, compute_type: int, scale_type: int) -> int:
        assert (scale_type == 1) == (PRECISIONS[compute_type] == "float64")
        self.machine.descriptions += 1
        return self._new({"compute": compute_type})

    def matmul_desc_destroy(self, desc: int) -> None:
        self.machine.descriptions -= 1
        self.things[desc] = None

    def get_matmul_desc_attribute_dtype(self, attr: int) -> Any:
        return DESC_TYPES[attr]

    def get_matmul_preference_attribute_dtype(self, attr: int) -> Any:
        return PREFERENCE_TYPES[attr]

    def matmul_desc_set_attribute(self, desc: int, attr: int, buf: int, size: int) -> None:
        assert size == np.dtype(DESC_TYPES[attr]).itemsize
        self.things[desc][MatmulDescAttribute(attr).name] = int(view(buf, DESC_TYPES[attr], 1)[0])

    def matrix_layout_create(self, type: int, rows: int, cols: int, ld: int) -> int:
        assert ld >= rows > 0 < cols
        shape = TYPES[type], rows, cols
        return self._new({"shape": shape, "ld": ld, "BATCH_COUNT": 1, "STRIDED_BATCH_OFFSET": 0})

    def get_matrix_layout_attribute_dtype(self, attr: int) -> Any:
        return LAYOUT_TYPES[attr]

    def matrix_layout_set_attribute(self, layout: int, attr: int, buf: int, size: int) -> None:
        assert size == np.dtype(LAYOUT_TYPES[attr]).itemsize
        self.things[layout][MatrixLayoutAttribute(attr).name] = int(view(buf, LAYOUT_TYPES[attr], 1)[0])

    def matmul_preference_create(self) -> int:
        return self._new({})

    def matmul_preference_set_attribute(self, pref: int, attr: int, buf: int, size: int) -> None:
        assert size == np.dtype(PREFERENCE_TYPES[attr]).itemsize
        self.things[pref][MatmulPreferenceAttribute(attr).name] = int(view(buf, PREFERENCE_TYPES[attr], 1)[0])

    def matmul_preference_destroy(self, pref: int) -> None:
        self.things[pref] = None

    def matmul_algo_get_heuristic(
        self,
        handle: int,
        desc: int,
        a: int,
        b: int,
        c: int,
        d: int,
        pref: int,
        most: int,
        out: int,
        count: int,
    ) -> None:
        assert self.machine.recording is None, "a heuristic during capture"
        assert self.things[handle] == "handle"
        chosen, asked = self.things[desc], self.things[pref]
        assert all(asked[f"MIN_ALIGNMENT_{x}_BYTES"] in (2, 4, 8, 16) for x in "ABCD")
        assert asked["MAX_WORKSPACE_BYTES"] == 32 << 20
        assert chosen["POINTER_MODE"] == PointerMode.DEVICE
        if "EPILOGUE" in chosen and (not self.machine.epilogues or chosen["compute"] == 70):
            raise cuBLASLtError("NOT_SUPPORTED")
        results = view(out, RESULT, most)
        view(count, np.int32, 1)[0] = (
            0 if PRECISIONS[chosen["compute"]] in self.machine.refused else self.machine.offered
        )
        results["algo"]["data_"][:, 0] = MAGIC + np.arange(most)
        results["state"][1] = 15  # the library marks an unsuitable candidate
        results["algo"]["data_"][:, 1:4] = [asked[f"MIN_ALIGNMENT_{x}_BYTES"] for x in "ABD"]

    def matmul(
        self, handle: int, desc: int, alpha: int, a: int, adesc: int, b: int, bdesc: int, beta: int, c: int,
        cdesc: int, d: int, ddesc: int, algo: int, workspace: int, workspace_size: int, stream: int,
    ) -> None:  # fmt: skip
        chosen = self.things[desc]
        assert (self.things[handle], stream, cdesc) == ("handle", 7, ddesc)
        assert self.machine.live[workspace] == workspace_size
        kind, *alignments = view(algo, np.uint64, 8)[:4].tolist()
        kind -= MAGIC
        if kind < self.machine.failing_algorithms:
            raise cuBLASLtError("EXECUTION_FAILED")
        assert kind != 1, "an algorithm that the heuristic marked as failing"
        for pointer, alignment in zip((a, b, d), alignments, strict=True):
            assert pointer % alignment == 0
        places = (a, adesc), (b, bdesc), (c, cdesc), (d, ddesc)
        (count,) = {self.things[layout]["BATCH_COUNT"] for _, layout in places}
        matrices = [[self._matrix(*place, k) for place in places] for k in range(count)]
        scale = "f8" if chosen["compute"] == 70 else "f4"
        by, keep = view(alpha, scale, 1), view(beta, scale, 1)

        def run() -> None:
            self.machine.clock += self.machine.taken.get(kind, 1e-6)
            self.machine.ran.append(kind)
            for k, own in enumerate(matrices):
                self._multiply(chosen, k, by, keep, *own)

        self.machine.do("product", run)

    def _matrix(self, pointer: int, layout: int, k: int) -> np.ndarray:
        """View matrix k of a batch."""
        place = self.things[layout]
        apart = k * place["STRIDED_BATCH_OFFSET"] * place["shape"][0].itemsize
        return view(pointer + apart, *place["shape"], ld=place["ld"])

    def _multiply(self, chosen: dict[str, int], k: int, by: Any, keep: Any, *matrices: np.ndarray) -> None:
        """Compute product k of a batch."""
        left, right, old, out = matrices
        assert left.dtype == right.dtype in (out.dtype, BF16)
        precision, epilogue = PRECISIONS[chosen["compute"]], chosen.get("EPILOGUE", Epilogue.DEFAULT)
        bits = self._bits(chosen, k, *out.shape) if epilogue in (134, 136) else None
        x = read(left.T if chosen["TRANSA"] else left, precision)
        x = by * (x @ read(right.T if chosen["TRANSB"] else right, precision)) + keep * read(old)
        if bias := chosen.get("BIAS_POINTER"):
            apart = k * chosen.get("BIAS_BATCH_STRIDE", 0) * out.itemsize
            x = x + read(view(bias + apart, out.dtype, len(out), 1))
        x = np.zeros_like(x) if self.machine.broken_products else finished(x, epilogue in (6, 134), bits)
        out[:] = written(x, out.dtype)

    def _bits(self, chosen: dict[str, int], k: int, n: int, m: int) -> np.ndarray:
        """View the bits of an epilogue; the library wants their columns on whole 128 bits."""
        ld, pointer = chosen["EPILOGUE_AUX_LD"], chosen["EPILOGUE_AUX_POINTER"]
        pointer += k * chosen.get("EPILOGUE_AUX_BATCH_STRIDE", 0) // 8
        assert ld % 128 == pointer % 16 == 0
        assert ld >= n
        return view(pointer, np.uint8, -(-n // 8), m, ld=ld // 8)


def runtime(machine: Machine) -> SimpleNamespace:
    def count() -> int:
        if not machine.devices:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable\n device is detected")
        return machine.devices

    def memcpyAsync(to: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        assert machine.recording is None, "a copy during capture"
        assert (stream, kind in (1, 2, 3)) == (7, True)
        machine.do(f"copy {kind}", lambda: ctypes.memmove(to, source, nbytes))

    def memsetAsync(pointer: int, value: int, nbytes: int, stream: int) -> None:
        assert machine.live[pointer] >= nbytes
        machine.do("set", lambda: ctypes.memset(pointer, value, nbytes))

    return SimpleNamespace(
        getDeviceCount=count,
        driverGetVersion=lambda: machine.driver,
        runtimeGetVersion=lambda: machine.runtime,
        getDeviceProperties=lambda index: {
            "name": b"Fake",
            "major": machine.capability[0],
            "minor": machine.capability[1],
            "multiProcessorCount": 8,
            "sharedMemPerBlockOptin": machine.shared_bytes,
            "cooperativeLaunch": 1,
        },
        memGetInfo=lambda: (machine.nbytes - sum(machine.live.values()), machine.nbytes),
        memcpyAsync=memcpyAsync,
        memsetAsync=memsetAsync,
        memcpyHostToDevice=1,
        memcpyDeviceToHost=2,
        memcpyDeviceToDevice=3,
    )


class Memory:
    """The result of cupy.cuda.alloc, freed with its last reference."""

    def __init__(self, machine: Machine, nbytes: int) -> None:
        self.machine, self.block = machine, np.full(nbytes + 256, 0xFF, np.uint8)
        self.ptr = -(-self.block.ctypes.data // 256) * 256
        machine.live[self.ptr] = nbytes

    def __del__(self) -> None:
        del self.machine.live[self.ptr]


class Array:
    """cupy.ndarray, in the memory of the device that is current."""

    def __init__(self, machine: Machine, array: np.ndarray, offset: int = 0) -> None:
        self.machine, self.device = machine, Device(machine, machine.device)
        self.memory = Memory(machine, array.nbytes + offset)
        self.data = SimpleNamespace(ptr=self.memory.ptr + offset)
        flat = view(self.data.ptr, array.dtype, array.size)
        self.array = flat.reshape(array.shape, order="C" if array.flags.c_contiguous else "F")
        self.array[...] = array
        self.shape, self.dtype, self.ndim, self.T = array.shape, array.dtype, array.ndim, None
        self.__cuda_array_interface__ = {"data": (self.data.ptr, False)}

    def astype(self, dtype: Any, order: str, copy: bool) -> Array:
        assert self.machine.device == self.device.id, "a kernel on the array of another device"
        assert (order, copy) == ("F", False)
        if self.array.dtype == dtype and self.array.flags.f_contiguous:
            return self
        return Array(self.machine, self.array.astype(dtype, order="F"))

    def copy(self, order: str) -> Array:
        assert order == "F"
        assert self.machine.current is not None, "a copy in another stream"
        return Array(self.machine, np.asfortranarray(self.array))

    def sum(self, **how: Any) -> np.floating[Any]:
        return self.array.sum(**how)


def install(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Install the fakes for `import cupy` and `import nvmath`."""
    emulator = EmulatedDevice()

    def alloc(nbytes: int) -> Memory:
        assert machine.current is not None, "an allocation from another stream's pool"
        assert machine.recording is None, "an allocation during capture"
        if nbytes > machine.nbytes - sum(machine.live.values()):
            raise OutOfMemoryError
        return Memory(machine, nbytes)

    class Event:
        def __init__(self, disable_timing: bool = False) -> None:
            self.device, self.timing = machine.device, not disable_timing

        def record(self, stream: Stream | None = None) -> None:
            assert machine.recording is None
            assert self.device == (machine.device if stream is None else stream.device)
            self.clock = machine.clock

        def synchronize(self) -> None:
            machine.log.append("wait")

    def get_elapsed_time(begin: Event, end: Event) -> float:
        assert begin.timing and end.timing
        machine.log.append("elapsed")
        return 1000 * (end.clock - begin.clock)

    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...], enable_cooperative_groups: bool) -> None:
            assert options == ("--std=c++17",)
            self.find = emulator.compile(code, together=enable_cooperative_groups)
            self.device = machine.device

        def get_function(self, name: str) -> Any:
            return RawKernel(self.find(name))

    @dataclass
    class RawKernel:
        of: Kernel
        max_dynamic_shared_size_bytes: int = 48 << 10

        def __call__(
            self, grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], *, shared_mem: int
        ) -> None:
            assert machine.current is not None, "a launch on the default stream"
            assert shared_mem <= self.max_dynamic_shared_size_bytes <= max(48 << 10, machine.shared_bytes)
            assert len(arguments) == len(self.of.types)
            assert self.of.cluster == 1 or machine.capability >= (9, 0), "no clusters on this device"
            assert self.of.cluster <= 8, "a larger cluster needs permission"
            assert grid[0] % self.of.cluster == 0, "a part of a cluster"
            how = [ctypes.c_uint(x) for x in (*grid, *block, shared_mem)]
            passed = [ctypes.c_void_p(int(x)) if x.dtype == np.uintp else _c_argument(x) for x in arguments]

            def run() -> None:
                machine.clock += 1e-6
                self.of.run(*how, ctypes.c_bool(self.of.together), *passed)

            machine.do(self.of.name, run)

    def version() -> tuple[int, int]:
        if not machine.nvrtc:
            raise RuntimeError("libnvrtc.so.13: cannot open")
        return 13, 2

    Stream.machine = machine
    cuda = SimpleNamespace(
        Device=partial(Device, machine),
        Stream=Stream,
        Event=Event,
        get_elapsed_time=get_elapsed_time,
        alloc=alloc,
        alloc_pinned_memory=bytearray,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=runtime(machine),
    )
    pool = SimpleNamespace(free_bytes=lambda: 0)
    lt = Lt(machine)
    modules: dict[str, Any] = {
        "cupy": {"cuda": cuda, "RawModule": RawModule, "get_default_memory_pool": lambda: pool},
        "cupy.cuda": vars(cuda),
        "cupy_backends": {},
        "cupy_backends.cuda": {},
        "cupy_backends.cuda.libs": {"nvrtc": SimpleNamespace(getVersion=version)},
        "nvmath": {"CudaDataType": CudaDataType},
        "nvmath.bindings": {"cublas": SimpleNamespace(ComputeType=ComputeType), "cublasLt": lt},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content, __path__=[])
        monkeypatch.setitem(__import__("sys").modules, name, module)


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Install the fakes, and let gpunn find them anew."""
    machine = Machine()
    install(monkeypatch, machine)
    monkeypatch.setattr(diagnosis, "find_spec", lambda name: object())
    monkeypatch.setattr(diagnosis, "_finds_driver", lambda: True)
    cached = diagnosis.explain, cupy_device._backend, cupy_device._device
    for function in cached:
        function.cache_clear()
    yield machine
    for function in cached:
        function.cache_clear()
