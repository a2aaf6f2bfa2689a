"""Programs under ThreadSanitizer, in which each CUDA thread is a thread of the host."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import host_compiler
import pytest

FLAGS = ["-std=c++20", "-O1", "-g", "-fsanitize=thread", "-DTHREADS_FOR_REAL", "-pthread"]


@cache
def no_sanitizer() -> str:
    """Say why ThreadSanitizer cannot be used; empty if it can."""
    if not host_compiler.COMPILER:
        return "no C++ compiler"
    command = [host_compiler.COMPILER, *FLAGS, "-x", "c++", "-", "-o", "/dev/null"]
    done = subprocess.run(command, input="int main() {}", text=True, capture_output=True, check=False)
    return "" if done.returncode == 0 else "no ThreadSanitizer for this compiler"


def program(*sources: str) -> Path:
    """Compile kernels and the main function that launches them; skip the test if there is no sanitizer."""
    if reason := no_sanitizer():
        pytest.skip(reason)
    source = host_compiler.compilable("\n".join([host_compiler.HEADER, *sources]), [])
    return host_compiler.compiled(source, ".cpp", ".races", FLAGS)


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that `program` has compiled, up to its first race."""
    command = [str(program), *map(str, arguments)]
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    return done
