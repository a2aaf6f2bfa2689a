"""ThreadSanitizer finds no race in the kernels, but one for every barrier that is removed.

Each CUDA thread is a thread of the host here. A separate program runs them, because the sanitizer has to be
linked from the start.
"""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import sanitizing

from gpunn.backends.cuda.source import KERNELS, preamble

MAIN = """
#include <cstdio>
template <class X> static X* of(size_t n, X value) { return (new std::vector<X>(n, value))->data(); }
int main(int, char** arguments) {
    missing = std::atoi(arguments[1]);
    const Index n = 9, m = 3, rows = 2, strips = 64;  // two blocks, the second nearly empty
    const Index columns = (m * 32 + 63) / 64;
    T *a = of<T>(n * m, 0.5), *y = of<T>(n * m, 0.25), *z = of<T>(n * m, 2), *x = of<T>(n * m, 1);
    T *losses = of<T>(m, 0);
    T *b = of<T>(n, 1), *c = of<T>(n, 1), *d = of<T>(n, 1), *e = of<T>(n, 1), *g = of<T>(n, 1);
    T *one = of<T>(1, 1), *one_each = of<T>(8, 1), *sums = of<T>(64, 0), *pair = of<T>(2 * n * m, 0);
    Index *labels = of<Index>(m, 3), *position = of<Index>(1, 0);
    unsigned char* hits = of<unsigned char>(m, 0);
    launch(1, strips, [=] { bias_gradient(n, m, n, x, 0, one, 0, one, 0, b, 0); });
    launch(rows, strips, [=] { normalise(n, m, n, 1, 1e-5, 0.1, b, 0, c, 0, d, 0, e, 0, z, 0, x, 0, g, 0); });
    launch(rows, strips, [=] { normalise(n, m, n, 0, 1e-5, 0.1, b, 0, c, 0, d, 0, e, 0, z, 0, x, 0, g, 0); });
    launch(rows, strips, [=] { norm_error(n, m, n, 1, one, 0, one, 0, x, 0, b, 0, z, 0, c, 0, d, 0); });
    launch(rows, strips, [=] { row_moment(n, m, n, 1, 1, z, 0, b, 0, c, 0); });
    launch(rows, strips, [=] { norm_sums(n, m, n, 1, one, 0, one, 0, x, 0, z, 0, c, 0, d, 0, pair, 0); });
    launch(rows, strips, [=] { bound_rows(n, m, 1, x, 0); });
    launch(2, 64, [=] { transpose_both(n, n, m, n, x, 0, n, z, 0, m, pair, 0); });
    launch(2, 64, [=] { sum_squares(n * m, x, 0, sums, 0); });
    launch(3, 64, [=] { clip(n * m, 1, sums, 0, x, 0); });
    launch(columns, 64, [=] { forward_softmax(m, n, n, b, 0, z, 0, a, 0); });
    launch(columns, 64, [=] { forward_softmax(m, n, n, b, 0, a, 0, a, 0); });
    launch(columns, 64, [=] { times_softmax_jacobian(m, n, n, n, a, 0, z, 0); });
    launch(columns, 64, [=] {
        measure_hinge(m, n, a, 0, y, 0, position, 0, losses, 0, 1, labels, 0, 0.5, hits, 0);
    });
    launch(columns, 64, [=] { hinge_gradient(m, n, n, a, 0, y, 0, z, 0); });
    launch(1, 16, [=] {
        const Index *p = position, *key = labels;
        distort(m, 3, 3, n, key, 0, p, 0, 0, p, 0, 1, 0.5, 1, 2, one_each, 0, 1, one, 0, x, 0);
    }, 5 * n * sizeof(T));
    launch(1, 64, [=] { begin_again(1, labels, 0, position, 0, labels, 0); });
    T *both = of<T>(2 * n * m, 1), *sums_of_both = of<T>(2 * n, 0);  // of two networks
    launch(1, strips, [=] {
        bias_gradient(n, m, n, both, n * m * sizeof(T), one, 0, one, 0, sums_of_both, n * sizeof(T));
    }, 0, false, 1, 2);
    launch(columns, 64, [=] {
        measure_quantiles(m, n, a, 0, y, 0, position, 0, losses, 0, 1, labels, 0, 0.5, hits, 0, 0.9);
    });
    launch(columns, 64, [=] { quantiles_gradient(m, n, n, a, 0, y, 0, z, 0, 0.9); });
    launch(columns, 64, [=] { forward_softmax_error(m, n, n, b, 0, y, 0, z, 0, a, 0, x, 0); });
    std::puts("done");
}
"""

BARRIER = re.compile(r"__sync(threads|warp)\(\);")
BARRIERS = [
    pytest.param(k, id=f"kernels.cu:{KERNELS.count(chr(10), 0, barrier.start()) + 1}")
    for k, barrier in enumerate(BARRIER.finditer(KERNELS))
]


@pytest.fixture(scope="module")
def program() -> Path:
    """Compile the kernels; the program's argument is a barrier to remove, or -1."""
    numbers = count()
    kernels = BARRIER.sub(lambda barrier: f"if (missing != {next(numbers)}) {barrier[0]}", KERNELS)
    head = preamble(np.dtype("float32"))
    return sanitizing.program(head, "static int missing;", kernels, MAIN)


def test_the_kernels_have_no_race(program: Path) -> None:
    done = sanitizing.run(program, -1)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("barrier", BARRIERS)
def test_removing_a_barrier_is_a_race(program: Path, barrier: int) -> None:
    done = sanitizing.run(program, barrier)
    assert "WARNING: ThreadSanitizer: data race" in done.stderr, "this barrier is not needed"
    assert done.returncode == 66
