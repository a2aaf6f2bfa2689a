"""CUDA kernels as C++, compiled by the host's compiler: a thread of `emulated.hpp` for each CUDA thread."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import get_ident

from platformdirs import user_cache_path

from gpunn.backends.cuda.source import HEAD, KERNELS, RESIDENT

COMPILER = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
UNWANTED = ["-Wno-unused-function", "-Wno-clobbered", "-Wno-unknown-warning-option", "-Wno-unknown-pragmas"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", *UNWANTED]
# fortified longjmp forbids jumps to another stack
FLAGS = ["-std=c++17", "-O1", "-U_FORTIFY_SOURCE", *WARNINGS]
LIBRARY = ["-shared", "-Wl,-Bsymbolic"]  # libc has an `advance` too
COVERAGE = os.environ.get("GPUNN_KERNEL_COVERAGE")  # a folder in which to count executed lines
FOLDER = Path(COVERAGE) if COVERAGE else user_cache_path("gpunn-tests") / "emulated"  # of compiled kernels
HEADER = Path(__file__).with_name("emulated.hpp").read_text(encoding="utf-8")
MONTH = 30 * 24 * 3600  # seconds
MOST_SHARED = 48 << 10  # bytes of a block's shared memory

DYNAMIC_SHARED = re.compile(r"extern __shared__ ([\w<>]+) (\w+)\[\];")
KERNEL = re.compile(
    r'extern "C" __global__ (?:__cluster_dims__\((\d+), 1, 1\) )?(?:__launch_bounds__\([^)]*\) )?'
    r"void (\w+)\(([^)]*)\)"
)
RUNNER = """
extern "C" int run_{name}(unsigned grid, unsigned networks, unsigned block, unsigned shared, bool together,
                          {parameters}) {{
    return launch(grid, block, [=] {{ {name}({arguments}); }}, shared, together, {cluster}, networks);
}}
"""


@dataclass(frozen=True)
class Signature:
    """A kernel's name, its parameters as they are written, and the number of blocks in its clusters."""

    name: str
    parameters: str
    cluster: int


def compilable(source: str, kernels: Iterable[Signature]) -> str:
    """Turn kernels into C++ and add a function for each that runs all its threads."""
    for file, text in (("kernels.cu", KERNELS), ("resident.cu", RESIDENT), ("head.cu", HEAD)):
        source = source.replace(text, f'#line 1 "{file}"\n{text}#line 1 "runners"\n')
    made = [DYNAMIC_SHARED.sub(r"#define \2 ((\1*)dynamic_shared)", source)]
    for kernel in kernels:
        arguments = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", kernel.parameters))
        made.append(RUNNER.format(**vars(kernel), arguments=arguments))
    return "\n".join(made)


def left_in(source: str) -> list[Signature]:
    """List the kernels that the preprocessor leaves in."""
    preprocessed = compiled(source, ".in", ".i", ["-E", "-P", "-x", "c++"]).read_text(encoding="utf-8")
    found = KERNEL.findall(" ".join(preprocessed.split()))
    return [Signature(name, parameters, int(cluster or 1)) for cluster, name, parameters in found]


def compiled(text: str, suffix: str, result: str, flags: list[str]) -> Path:
    """Compile the text, unless an earlier run has left the result in the folder."""
    assert COMPILER
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(f"{COMPILER} {flags} {text}".encode()).hexdigest()[:16]
    path = FOLDER / f"{name}{result}"
    if not path.exists():
        fresh = FOLDER / f"{name}.{os.getpid()}.{get_ident()}"  # others may compile it, too
        fresh.write_text(text, encoding="utf-8")
        source = fresh.rename(FOLDER / f"{name}{suffix}")
        subprocess.run([COMPILER, *flags, source.name, "-o", fresh.name], check=True, cwd=FOLDER)
        fresh.rename(path)
        _remove_old()
    return path


@cache
def _remove_old() -> None:
    """Remove what no test has read for a month, such as results of kernels that have changed since."""
    for file in FOLDER.iterdir():
        with suppress(FileNotFoundError):  # another process removes it, or has renamed it
            if time.time() - file.stat().st_atime > MONTH:
                file.unlink()


@cache
def built(source: str) -> tuple[ctypes.CDLL, list[Signature]]:
    """Return the library of a module's kernels, compiled if necessary, and left_in(source)."""
    kernels = left_in(source)
    flags = [*FLAGS, "-fPIC", *(["--coverage"] if COVERAGE else [])]
    header = compiled(HEADER, ".hpp", ".hpp.gch", [*flags, "-x", "c++-header"])
    code = f'#include "{header.stem}"\n' + compilable(source, kernels)
    loaded = ctypes.CDLL(str(compiled(code, ".cpp", ".so", [*flags, *LIBRARY])))
    assert loaded.shared_bytes() <= MOST_SHARED, "more shared memory than a block has"
    return loaded, kernels
