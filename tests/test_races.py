"""ThreadSanitizer over the kernels whose threads work together: no race, but one where a barrier is missing.

Each CUDA thread is a thread of the host here, and a program of its own runs them, since the sanitizer must
be there from the start.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import emulated
import numpy as np
import pytest

from gpunn.backends.kernels import KERNELS, preamble

MAIN = """
#include <cstdio>
template <class X> static X* of(size_t n, X value) { return (new std::vector<X>(n, value))->data(); }
int main() {
    const Index n = 9, m = 21, rows = 2, strips = 64;  // two blocks, the second nearly empty
    const Index columns = (m * 32 + 63) / 64;
    T *a = of<T>(n * m, 0.5), *y = of<T>(n * m, 0.25), *z = of<T>(n * m, 2), *x = of<T>(n * m, 1);
    T *losses = of<T>(m, 0);
    T *b = of<T>(n, 1), *c = of<T>(n, 1), *d = of<T>(n, 1), *e = of<T>(n, 1), *g = of<T>(n, 1);
    T *one = of<T>(1, 1), *sums = of<T>(64, 0);
    Index *labels = of<Index>(m, 3), *position = of<Index>(1, 0);
    unsigned char* hits = of<unsigned char>(m, 0);
    launch(rows, strips, [=] { bias_gradient(n, m, x, one, one, b); });
    launch(rows, strips, [=] { normalize(n, m, 1, 1e-5, 0.1, b, c, d, e, z, x, g); });
    launch(rows, strips, [=] { normalize(n, m, 0, 1e-5, 0.1, b, c, d, e, z, x, g); });
    launch(rows, strips, [=] { norm_error(n, m, 1, one, one, x, b, z, c, d); });
    launch(rows, strips, [=] { bound_rows(n, m, 1, x); });
    launch(2, 64, [=] { sum_squares(n * m, x, sums); });
    launch(3, 64, [=] { clip(n * m, 1, sums, x); });
    launch(columns, 64, [=] { feed_softmax(m, n, b, z, a); });
    launch(columns, 64, [=] { feed_softmax(m, n, b, a, a); });
    launch(columns, 64, [=] { times_softmax_jacobian(m, n, a, z); });
    launch(columns, 64, [=] { measure_hinge(m, n, a, y, position, losses, labels, 0.5, hits); });
    launch(columns, 64, [=] { hinge_gradient(m, n, a, y, z); });
    launch(columns, 64, [=] { feed_softmax_error(m, n, b, y, z, a, x); });
    std::puts("done");
}
"""
SANITIZER = ["-std=c++20", "-O1", "-g", "-fsanitize=thread", "-DTHREADS_FOR_REAL", "-pthread"]
BARRIERS = [match.start() for match in re.finditer(r"__sync(threads|warp)\(\);", KERNELS)]


def sanitized(folder: Path, kernels: str) -> subprocess.CompletedProcess[str]:
    assert emulated.COMPILER
    source = "\n".join([emulated.HEADER, preamble(np.dtype("float32")), kernels, MAIN])
    (folder / "races.cpp").write_text(source, encoding="utf-8")
    command = [emulated.COMPILER, *SANITIZER, str(folder / "races.cpp"), "-o", str(folder / "races")]
    subprocess.run(command, check=True, capture_output=True)
    return subprocess.run([str(folder / "races")], capture_output=True, text=True, check=False)


@cache
def no_sanitizer() -> str:
    """Why ThreadSanitizer cannot be used; empty if it can."""
    if not emulated.COMPILER:
        return "no C++ compiler"
    command = [emulated.COMPILER, *SANITIZER, "-x", "c++", "-", "-o", "/dev/null"]
    done = subprocess.run(command, input="int main() {}", text=True, capture_output=True, check=False)
    return "" if done.returncode == 0 else "no ThreadSanitizer for this compiler"


@pytest.fixture(autouse=True)
def _needs_a_sanitizer() -> None:
    if reason := no_sanitizer():
        pytest.skip(reason)


def test_the_kernels_have_no_race(tmp_path: Path) -> None:
    done = sanitized(tmp_path, KERNELS)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("barrier", range(len(BARRIERS)))
def test_a_barrier_less_is_a_race(tmp_path: Path, barrier: int) -> None:
    start = BARRIERS[barrier]
    line = KERNELS.count("\n", 0, start) + 1
    without = KERNELS[:start] + KERNELS[KERNELS.index(";", start) :]
    done = sanitized(tmp_path, without)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    assert "WARNING: ThreadSanitizer: data race" in done.stderr, f"the barrier of line {line} is of no use"
    assert done.returncode == 66
