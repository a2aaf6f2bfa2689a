"""A CUDA device without a GPU: the very same kernels.cu, compiled by the host's C++ compiler.

Every thread of a launch runs, one after another (no kernel has a barrier yet). Products are NumPy's.
New memory is poisoned with NaNs and fenced with guard words, so a read of what nobody wrote and a write
past an end are seen. A test instrument: no device that a user can choose.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.activations import Call
from gpunn.backends.cuda import THREADS
from gpunn.backends.device import Buffer

COMPILER = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
FLAGS = ["-std=c++20", "-O2", *WARNINGS, "-shared", "-fPIC", "-Wl,-Bsymbolic"]  # libc has an `advance` too
GUARD = 256
GUARD_BYTE, POISON_BYTE = 0xA5, 0xFF  # the latter makes every float a NaN

SHIM = """
#include <cmath>
using namespace std;
#define __global__
#define __device__
struct Dim { unsigned x; };
static thread_local Dim blockIdx, blockDim, threadIdx;
"""
KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')
RUNNER = """
extern "C" void run_{name}(unsigned grid, unsigned block, {parameters}) {{
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) {name}({arguments});
}}
"""


def runners(source: str) -> str:
    """For every kernel, a function that runs all its threads."""
    made = []
    for name, parameters in KERNEL.findall(source):
        arguments = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", parameters))
        made.append(RUNNER.format(name=name, parameters=parameters, arguments=arguments))
    return "".join(made)


def _types(parameters: str, real: np.dtype[Any]) -> list[np.dtype[Any]]:
    """The NumPy types of a kernel's parameters; a buffer's is that of what it points to."""
    known = {"Index": "int64", "T": real, "double": "float64", "unsigned char": "uint8"}
    names = (re.sub(r"const |\*|\w+\s*$", "", p).strip() for p in parameters.split(","))
    return [np.dtype(known[name]) for name in names]


class EmulatedDevice:
    """`gpunn.backends.device.Device` on the host."""

    description = "emulated"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memories: list[np.ndarray] = []
        self.launches: dict[str, int] = {}

    def allocate(self, nbytes: int) -> tuple[int, Any]:
        memory = np.full(nbytes + 2 * GUARD, GUARD_BYTE, np.uint8)
        memory[GUARD:-GUARD] = POISON_BYTE
        self.memories.append(memory)
        return memory.ctypes.data + GUARD, memory

    def check_guards(self) -> None:
        for memory in self.memories:
            assert (memory[:GUARD] == GUARD_BYTE).all(), "a kernel wrote before a buffer"
            assert (memory[-GUARD:] == GUARD_BYTE).all(), "a kernel wrote past a buffer"

    def write(self, pointer: int, array: np.ndarray) -> None:
        ctypes.memmove(pointer, array.ctypes.data, array.nbytes)

    def read(self, pointer: int, array: np.ndarray) -> None:
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)

    def copy(self, pointer: int, source: int, nbytes: int) -> None:
        ctypes.memmove(pointer, source, nbytes)

    def compile(self, source: str) -> Any:
        assert COMPILER
        # only the kernels that this preamble leaves in are compiled, so only they can be run
        left_in = subprocess.run(
            [COMPILER, "-E", "-P", "-x", "c++", "-"],
            input=re.sub(r"#include.*", "", source), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        code = SHIM + source + runners(" ".join(left_in.split()))
        library = self.folder / f"{hashlib.sha256((code + str(FLAGS)).encode()).hexdigest()[:16]}.so"
        if not library.exists():
            fresh = library.with_suffix(".new")
            subprocess.run(
                [COMPILER, *FLAGS, "-x", "c++", "-", "-o", str(fresh)], input=code, text=True, check=True
            )
            fresh.rename(library)
        loaded = ctypes.CDLL(str(library))
        real = np.dtype("float64" if "typedef double T;" in source else "float32")
        types = {name: _types(parameters, real) for name, parameters in KERNEL.findall(code)}
        return lambda name: (name, getattr(loaded, f"run_{name}"), types[name])

    def launch(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> Call:
        name, run, types = kernel
        assert [x.dtype for x in arguments] == types, f"{name}: {[x.dtype for x in arguments]} for {types}"
        grid = ctypes.c_uint(-(-threads // THREADS))
        passed = [grid, ctypes.c_uint(THREADS), *(_c_argument(x) for x in arguments)]

        def call(alive: tuple[Any, ...] = arguments) -> None:
            self.launches[name] = self.launches.get(name, 0) + 1
            run(*passed)

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
        left, right, out, by, keep = (_view(x) for x in (a, b, c, alpha, beta))
        left, right = left.T if trans_a else left, right.T if trans_b else right
        assert left.shape[1] == right.shape[0]
        assert out.shape == (left.shape[0], right.shape[1])

        def call(alive: tuple[Buffer, ...] = (alpha, a, b, beta, c)) -> None:
            out[:] = by * (left @ right) + (keep * out if keep else 0)

        return call


def _view(buffer: Buffer) -> np.ndarray:
    kind = ctypes.c_double if buffer.dtype == np.float64 else ctypes.c_float
    flat = np.ctypeslib.as_array(ctypes.cast(buffer.pointer, ctypes.POINTER(kind)), (buffer.size,))
    return flat.reshape(buffer.shape, order="F")


def _c_argument(x: Any) -> Any:
    if isinstance(x, Buffer):
        return ctypes.c_void_p(x.pointer)
    kinds = {"int64": ctypes.c_longlong, "float32": ctypes.c_float, "float64": ctypes.c_double}
    return kinds[x.dtype.name](x.item())
