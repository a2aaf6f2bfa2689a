"""The CPU kernels compile without warnings for processors and systems that this machine is not."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from emulated import COMPILER

from gpunn.backends.host.compiled.compiler import FLAGS
from gpunn.backends.host.compiled.source import source

# clang says when it does not vectorise a loop
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-pass-failed", "-Wno-unknown-warning-option")
X86 = platform.machine() in ("x86_64", "AMD64")


def check(tmp_path: Path, compiler: list[str], dtype: str, *flags: str) -> None:
    (tmp_path / "kernels.cpp").write_text(source(np.dtype(dtype)), encoding="utf-8")
    command = [*compiler, *FLAGS, *WARNINGS, *flags, "kernels.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]


@pytest.mark.skipif(not (COMPILER and X86), reason="needs a C++ compiler for x86")
@pytest.mark.parametrize(
    ("level", "dtype"), [("x86-64", "float32"), ("x86-64-v3", "float64"), ("skylake-avx512", "float32")]
)
def test_levels_of_x86(tmp_path: Path, level: str, dtype: str) -> None:
    """Check without generating code, which takes a second instead of several."""
    check(tmp_path, [str(COMPILER)], dtype, f"-march={level}", "-fsyntax-only")


@pytest.mark.skipif(not find_spec("ziglang"), reason="ziglang is not installed")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arm(tmp_path: Path, dtype: str) -> None:
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-gnu"]
    check(tmp_path, zig, dtype, "-c", "-o", "kernels.o")
