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
from networks import whole_network

import gpunn
from gpunn.backends.cuda.persistent import source_of
from gpunn.backends.cuda.source import KERNELS, PERSISTENT, preamble

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
    T *one = of<T>(1, 1), *sums = of<T>(64, 0), *pair = of<T>(2 * n * m, 0);
    Index *labels = of<Index>(m, 3), *position = of<Index>(1, 0);
    unsigned char* hits = of<unsigned char>(m, 0);
    launch(1, strips, [=] { bias_gradient(n, m, n, x, one, one, b); });
    launch(rows, strips, [=] { normalise(n, m, n, 1, 1e-5, 0.1, b, c, d, e, z, x, g); });
    launch(rows, strips, [=] { normalise(n, m, n, 0, 1e-5, 0.1, b, c, d, e, z, x, g); });
    launch(rows, strips, [=] { norm_error(n, m, n, 1, one, one, x, b, z, c, d); });
    launch(rows, strips, [=] { bound_rows(n, m, 1, x); });
    launch(2, 64, [=] { transpose_both(n, n, m, n, x, n, z, m, pair); });
    launch(2, 64, [=] { sum_squares(n * m, x, sums); });
    launch(3, 64, [=] { clip(n * m, 1, sums, x); });
    launch(columns, 64, [=] { forward_softmax(m, n, n, b, z, a); });
    launch(columns, 64, [=] { forward_softmax(m, n, n, b, a, a); });
    launch(columns, 64, [=] { times_softmax_jacobian(m, n, n, n, a, z); });
    launch(columns, 64, [=] { measure_hinge(m, n, a, y, position, losses, labels, 0.5, hits); });
    launch(columns, 64, [=] { hinge_gradient(m, n, n, a, y, z); });
    launch(columns, 64, [=] { forward_softmax_error(m, n, n, b, y, z, a, x); });
    std::puts("done");
}
"""
PERSISTENT_MAIN = """
#include <cstdio>
template <class X> static X* of(size_t n, X value) { return (new std::vector<X>(n, value))->data(); }
int main(int, char** arguments) {
    missing = std::atoi(arguments[1]);
    const Index count = 12, batch = 5, depth = 3, ld = 6;
    static const Index shape[] = {SHAPE};
    static const int layout[] = {LAYOUT};
    double *numbers = of<double>(100, 0.1), *counter = of<double>(3, 0), *etas = of<double>(3, 0.1);
    T *theta = of<T>(1000, 0.5), *first = of<T>(1000, 0), *second = of<T>(1000, 0), *one = of<T>(1, 1);
    T *x = of<T>(count * 6, 1), *y = of<T>(count * 3, 0.5);
    T *z = of<T>(count * 3, 0), *a = of<T>(count * 3, 0);
    Index* step = of<Index>(1, 0);
    Word* words = of<Word>(1000, 0);
    launch(2, 32, [=] {
        train(count, batch, depth, shape, layout, numbers, theta, first, second,
              1, etas, step, counter, x, ld, y, 0, one, z, a, words);
    }, SHARED, true);
    std::puts("done");
}
"""
BLOCKS = 2


def program_parts(persistent: bool) -> tuple[str, str, str]:
    """Return the preamble, the kernels, and the program that runs them."""
    head = preamble(np.dtype("float32"))
    if not persistent:
        return head, KERNELS, MAIN
    layers = [gpunn.Dense(5, "tanh"), gpunn.Dense(4, "tanh"), gpunn.Dense(3, "softmax")]
    net = gpunn.Network(6, layers, "cross-entropy", seed=0)
    network = whole_network(net, gpunn.Adam(), 5, BLOCKS, 12)
    layout, length = network.shape.layout(BLOCKS, 4)
    filled = {
        "SHAPE": [*net.sizes, *net.layout.blocks(4)[0]],
        "LAYOUT": layout.tolist(),
        "SHARED": [4 * length],
    }
    main = PERSISTENT_MAIN
    for name, values in filled.items():
        main = main.replace(name, ", ".join(map(str, values)))
    return head + source_of(network) + KERNELS, PERSISTENT, main


BARRIER = re.compile(r"__sync(threads|warp)\(\);")
BARRIERS = [
    pytest.param(persistent, k, id=f"{file}:{kernels.count(chr(10), 0, barrier.start()) + 1}")
    for persistent, file, kernels in ((False, "kernels.cu", KERNELS), (True, "persistent.cu", PERSISTENT))
    for k, barrier in enumerate(BARRIER.finditer(kernels))
]


@pytest.fixture(scope="module")
def programs() -> dict[bool, Path]:
    """Compile the persistent kernel and the others; the programs' argument is a barrier to remove, or -1."""
    return {persistent: program(persistent) for persistent in (False, True)}


def program(persistent: bool) -> Path:
    head, kernels, main = program_parts(persistent)
    numbers = count()
    kernels = BARRIER.sub(lambda barrier: f"if (missing != {next(numbers)}) {barrier[0]}", kernels)
    return sanitizing.program(head, "static int missing;", kernels, main)


@pytest.mark.parametrize("persistent", [False, True])
def test_the_kernels_have_no_race(programs: dict[bool, Path], persistent: bool) -> None:
    done = sanitizing.run(programs[persistent], -1)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize(("persistent", "barrier"), BARRIERS)
def test_removing_a_barrier_is_a_race(programs: dict[bool, Path], persistent: bool, barrier: int) -> None:
    done = sanitizing.run(programs[persistent], barrier)
    assert "WARNING: ThreadSanitizer: data race" in done.stderr, "this barrier is not needed"
    assert done.returncode == 66
