"""The compiled kernels under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import host_compiler
import numpy as np
import pytest
import sanitized_training

from gpunn.backends.host.compiled import compiler
from gpunn.backends.host.compiled.source import source

NATIVE = ["-march=native"] if os.uname().machine == "x86_64" else []
FLAGS = [*compiler.FLAGS, *NATIVE, "-O1", "-g", "-fno-sanitize-recover=all", "-fPIC", "-shared", "-pthread"]
SANITIZERS = {"thread": ("libtsan.so", "float32"), "address,undefined": ("libasan.so", "float64")}
OPTIONS = {"TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=0"}


def train(sanitizer: str, threads: int, *more: str) -> subprocess.CompletedProcess[str]:
    """Train networks with a sanitizer in the kernels, up to the first complaint."""
    runtime, dtype = SANITIZERS[sanitizer]
    if not (program := host_compiler.COMPILER):
        pytest.skip("no C++ compiler")
    asked = [program, f"-print-file-name={runtime}"]
    place = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(place).is_absolute():
        pytest.skip(f"no {runtime} for this compiler")
    flags = [*FLAGS, f"-fsanitize={sanitizer}"]
    path = host_compiler.compiled(source(np.dtype(dtype)), ".cpp", f".{runtime}", flags)
    command = [sys.executable, sanitized_training.__file__, str(path), dtype, str(threads), *more]
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": place, compiler.VARIABLE: "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the sanitizer does not run on this kernel")
    return done


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_training_is_clean(sanitizer: str, threads: int) -> None:
    done = train(sanitizer, threads)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("learnt") == len(sanitized_training.cases())


def test_threads_that_do_not_wait_are_noticed() -> None:
    done = train("thread", 2, "careless")
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
