"""Every kernel compiles for every current architecture without register spills; no GPU is needed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heads import head_of, only
from networks import resident_pass
from platformdirs import user_cache_path

import gpunn
from benchmarks.probes import launches
from gpunn.backends.cuda import head, head_ways, source
from gpunn.backends.cuda.device import BF16
from gpunn.backends.cuda.resident import source_of
from gpunn.backends.cuda.shape_choice import best_shapes
from gpunn.backends.cuda.shapes import Shape
from gpunn.core.optimizers import OPTIMIZERS, Rule
from gpunn.files.writing import write_whole

ARCHITECTURES = (75, 80, 90, 100, 120)
REGISTERS = 65536 // (source.ROWS * source.MOST_STRIPS)  # available to a thread of the largest block
MOST_REGISTERS = {"head": 65536 // head_ways.THREADS}  # of kernels with smaller blocks
IDENTITY, SIGMOID = gpunn.ACTIVATIONS["identity"], gpunn.ACTIVATIONS["sigmoid"]
HIDDEN = [f for f in gpunn.ACTIVATIONS.values() if f.cuda]
RULES = [make for make in OPTIMIZERS.values() if isinstance(make, type) and issubclass(make, Rule)]


RESIDENT = {
    "Nesterov": ("quadratic", "sigmoid", gpunn.Nesterov(l2=0.1, l1=0.1), (20, True, 2, "IN_REGISTERS")),
    "RMSProp": ("cross-entropy", "softmax", gpunn.RMSProp(l2=0.1, l1=0.1), (8, False, 1, "IN_SHARED")),
    "Adam": ("quadratic", "sigmoid", gpunn.Adam(l2=0.1, l1=0.1), (12, False, 2, "IN_MEMORY")),
}


def of_a_network(kind: str, precision: str) -> str:
    """Return the source of the resident kernel for a network with every activation."""
    cost, output, optimizer, shape = RESIDENT[kind]
    layers = [gpunn.Dense(3, f.name) for f in HIDDEN] + [gpunn.Dense(3, output)]
    dtype = "float64" if precision == "float64" else "float32"
    net = gpunn.Network(3, layers, cost, seed=0, dtype=dtype)
    found = resident_pass(net, optimizer, 20, 20, precision)
    chosen = Shape(found.task(np.dtype(dtype).itemsize), 64, *shape)
    return source_of(found, chosen, found.motion.moves) + source.KERNELS + source.RESIDENT


def of_a_head(outputs: int, f: str, cost: str, hidden: str, way: tuple[int, int]) -> str:
    """Return the source of the head's kernel, shared out in one way."""
    net = gpunn.Network(3, [gpunn.Dense(64, hidden), gpunn.Dense(outputs, f)], cost, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        only(*way, patch)
        return head.source_of(head_of(net, gpunn.Nesterov(l2=0.1))) + source.KERNELS + source.HEAD


CLUSTERED = "head in a cluster"  # begins the names of sources for which an architecture needs clusters
SOURCES = {
    "all": source.KERNELS,
    **{f.name: source.activation_source(f) + source.KERNELS for f in HIDDEN},
    **{c.name: source.cost_source(c, IDENTITY) + source.KERNELS for c in gpunn.COSTS.values() if c.cuda},
    "binary-cross-entropy of z": source.cost_source(gpunn.COSTS["binary-cross-entropy"], SIGMOID)
    + source.KERNELS,
    **{rule.__name__: source.rule_source(rule()) + source.KERNELS for rule in RULES},
    "head in one block": of_a_head(1, "sigmoid", "binary-cross-entropy", "gelu", (1, 1)),
    "head in a grid": of_a_head(32, "softmax", "quadratic", "silu", (8, 0)),
    CLUSTERED: of_a_head(10, "softmax", "cross-entropy", "relu", (8, 8)),
    f"{CLUSTERED}, 32 outputs": of_a_head(32, "tanh", "log-cosh", "gelu", (8, 8)),
}
BOOK = ((784, 30, 10), "sigmoid", "quadratic", gpunn.SGD(), 10, "uint8", 1)
DEFAULT = ((64, 100, 10), "softmax", "cross-entropy", gpunn.Adam(), 200, "float32", 1)
BENCHMARKED = [  # the last number is how many networks each multiprocessor has
    BOOK,
    DEFAULT,
    ((784, 30, 10), "sigmoid", "quadratic", gpunn.Momentum(), 10, "uint8", 2),
    ((784, 128, 10), "softmax", "cross-entropy", gpunn.SGD(), 16, "uint8", 1),
    ((64, 32, 10), "sigmoid", "quadratic", gpunn.SGD(), 32, "uint8", 8),
    ((20, 64, 3), "sigmoid", "quadratic", gpunn.SGD(), 200, "uint8", 8),
]
ROOM = {75: 64 << 10, 80: 163 << 10, 90: 227 << 10, 100: 227 << 10, 120: 99 << 10}  # bytes of shared memory
NETWORKS = [(90, case) for case in BENCHMARKED] + [
    (k, case) for k in ROOM if k != 90 for case in (BOOK, DEFAULT)
]
HEADS = {
    "float32": source.preamble(np.dtype("float32")),
    "float64": source.preamble(np.dtype("float64")),
    "bf16": source.preamble(np.dtype("float32"), BF16) + source.layer_source(BF16),
}
TOGETHER = [(k, name) for k in ARCHITECTURES for name in HEADS if name != "bf16" or k >= 80]
KERNEL = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


def test_the_sources_are_ascii() -> None:
    """CuPy writes them to a file in the machine's encoding."""
    assert (source.KERNELS + source.RESIDENT + source.HEAD).isascii()


def check(log: str) -> tuple[list[int], list[int]]:
    """Check the assembler's log; return each kernel's registers and bytes of shared memory."""
    found = KERNEL.findall(log)
    assert found
    for name, stores, loads, registers, _ in found:
        assert (stores, loads) == ("0", "0"), f"{name} spills"
        assert int(registers) <= MOST_REGISTERS.get(name, REGISTERS), f"{name} has {registers} registers"
    shared = [int(size[1]) if (size := re.search(r"(\d+) bytes smem", rest)) else 0 for *_, rest in found]
    return [int(kernel[3]) for kernel in found], shared


def on_every_core(check_one: Callable[[str, str], Any], dtype: str, architecture: int) -> list[Any]:
    """Call check_one(name, source) for each source that the architecture can run."""
    sources = SOURCES | {kind: of_a_network(kind, dtype) for kind in RESIDENT}
    able = {k: HEADS[dtype] + body for k, body in sources.items() if architecture >= 90 or CLUSTERED not in k}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(check_one, able, able.values()))


def remembered(key: str, compile_it: Callable[[], str]) -> str:
    """Return the log of a compilation, which an earlier run may have left in the user's cache."""
    path = user_cache_path("gpunn-tests") / "logs" / hashlib.sha256(key.encode()).hexdigest()[:32]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, compile_it().encode())
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("dtype", HEADS)
def test_nvcc_compiles_without_warnings(tmp_path: Path, dtype: str) -> None:
    if not (nvcc := shutil.which("nvcc")):
        pytest.skip("no nvcc")
    options = ["-std=c++17", "-cubin", "-arch=sm_90", "-Xptxas=-v", "-Werror=all-warnings"]
    options.append("-diag-suppress=177")  # unused functions: no module calls all shared ones

    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout

    def log(name: str, source: str) -> str:
        file = tmp_path / f"{name}.cu"
        file.write_text(source, encoding="utf-8")
        command = [nvcc, *options, "-o", file.with_suffix(".cubin"), file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def check_one(name: str, source: str) -> None:
        check(remembered(f"{version} {options} {source}", lambda: log(name, source)))

    on_every_core(check_one, dtype, 90)


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    found = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="cupy is not installed")
    try:
        found.getVersion()
    except Exception as error:  # whatever the loader raises
        pytest.skip(f"no NVRTC: {error}")
    return found


@pytest.mark.parametrize(("architecture", "dtype"), TOGETHER)
def test_nvrtc_compiles_for_every_architecture(nvrtc: Any, architecture: int, dtype: str) -> None:
    """Compile with NVRTC; `pytest -rP tests/backends/test_kernels.py` shows the figures."""
    options = ["--std=c++17", f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"]

    def log(name: str, source: str) -> str:
        program = nvrtc.createProgram(source, name, [], [])
        nvrtc.compileProgram(program, options)
        assert nvrtc.getCUBIN(program)
        return str(nvrtc.getProgramLog(program))

    def check_one(name: str, source: str) -> tuple[list[int], list[int]]:
        return check(remembered(f"{nvrtc.getVersion()} {options} {source}", lambda: log(name, source)))

    found = on_every_core(check_one, dtype, architecture)
    registers, shared = (list(chain(*figures)) for figures in zip(*found, strict=True))
    print(
        f"sm_{architecture} {dtype}: {len(registers)} source, at most {max(registers)} registers and "
        f"{max(shared)} bytes of shared memory, nothing spilled"
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_the_probes(nvrtc: Any, architecture: int) -> None:
    cluster = launches.CLUSTERS[-1] if architecture >= 90 else 1
    program = nvrtc.createProgram(launches.source(np.dtype("float32"), cluster, 32), "launches", [], [])
    options = ["--std=c++17", f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"]
    nvrtc.compileProgram(program, options)
    check(nvrtc.getProgramLog(program))


@pytest.mark.parametrize(("architecture", "case"), NETWORKS, ids=str)
def test_the_resident_kernel_has_the_registers_that_its_shape_needs(
    nvrtc: Any, architecture: int, case: Any
) -> None:
    sizes, output, cost, optimizer, m, dtype, each = case
    layers = [gpunn.Dense(n) for n in sizes[1:-1]] + [gpunn.Dense(sizes[-1], output)]
    found = resident_pass(gpunn.Network(sizes[0], layers, cost, seed=0), optimizer, m, m, dtype=dtype)
    most = (1, 1) if each > 1 else (8, 1) if architecture >= 90 else (1, 16)
    shape, *_ = best_shapes(found.task(4), ROOM[architecture], each, *most)
    text = HEADS["float32"] + source_of(found, shape, found.motion.moves) + source.KERNELS + source.RESIDENT
    options = ["--std=c++17", f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"]

    def compile_it() -> str:
        program = nvrtc.createProgram(text, "resident", [], [])
        nvrtc.compileProgram(program, options)
        return str(nvrtc.getProgramLog(program))

    log = remembered(f"{nvrtc.getVersion()} {options} {text}", compile_it)
    _, stores, loads, registers, _ = next(kernel for kernel in KERNEL.findall(log) if kernel[0] == "train")
    assert (stores, loads) == ("0", "0")
    assert int(registers) * shape.threads * shape.resident <= 65536
