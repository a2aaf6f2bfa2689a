"""ThreadSanitizer finds no race in the head's kernel, but one for every barrier that is removed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import sanitizing
from heads import head_of, only

import gpunn
from gpunn.backends.cuda import head_ways
from gpunn.backends.cuda.head import source_of
from gpunn.backends.cuda.source import HEAD, KERNELS, preamble

MAIN = """
#include <cstdio>
template <class X> static X* of(size_t n, X value) { return (new std::vector<X>(n, value))->data(); }
int main(int, char** arguments) {
    missing = std::atoi(arguments[1]);
    const Index m = 11, n_in = 13, ld = 16, n = 3, tile = 4;
    T *a = of<T>(m * ld, 0.5), *before = of<T>(m * ld, 0), *theta = of<T>(n * (n_in + 1), 0.1);
    T *one = of<T>(1, 1), *y = of<T>(n * m, 0.3), *z = of<T>(n * m, 0), *out = of<T>(n * m, 0);
    T *delta = of<T>(n * m, 0), *parts = of<T>(1000, 0), *errors = of<T>(1000, 0);
    Index* words = of<Index>(3, 0);
    for (Index whole = 0; whole < 2; ++whole)
        launch(BLOCKS, 64, [=] {
            head(m, n_in, SHARE, COLUMNS, tile, whole, ld, 1, a, a, 0, a, before, theta, theta, one, one,
                 one, one, one, y, 0, one, z, out, n, delta, words, parts, errors);
        }, 40000, CLUSTER == 0, CLUSTER ? CLUSTER : 1);
    std::puts("done");
}
"""
WAYS = {"one block": (1, 1), "cluster": (2, 2), "grid": (2, 0)}  # blocks, and those of a cluster
BARRIER = re.compile(r"__syncthreads\(\);|meet\(words[^;]*;|__cluster_barrier_(?:arrive|wait)\(\);")
OF_GRID, TASK = HEAD.index("#else", HEAD.index("void meet")), HEAD.index("struct Task")
END = HEAD.count("\n")  # stands for the line of the barrier before a cluster's blocks leave


def line(barrier: re.Match[str]) -> int:
    """The line of a barrier, which is its name."""
    return END if "cluster" in barrier[0] else HEAD.count("\n", 0, barrier.start()) + 1


def ways_with(barrier: re.Match[str]) -> list[str]:
    """The ways for which the barrier is removed: for one is enough if it does the same in all."""
    if barrier.start() < OF_GRID:
        return []  # in `meet`, which is removed itself
    if barrier.start() < TASK:
        return ["grid"]
    return list(WAYS) if "meet" in barrier[0] else ["cluster"]


BARRIERS = sorted({(way, line(barrier)) for barrier in BARRIER.finditer(HEAD) for way in ways_with(barrier)})


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    """Compile a program for each way; its argument is the line of a barrier to remove, or 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_ways, "THREADS", 64)
        return {way: program(way, patch) for way in WAYS}


def program(way: str, patch: pytest.MonkeyPatch) -> Path:
    only(*WAYS[way], patch)
    net = gpunn.Network(6, [gpunn.Dense(13, "tanh"), gpunn.Dense(3, "softmax")], seed=0)
    head = head_of(net, gpunn.SGD(), 11)
    kernel = BARRIER.sub(lambda barrier: f"if (missing != {line(barrier)}) {barrier[0]}", HEAD)
    main = MAIN.replace("BLOCKS", str(head.way.blocks))
    main = main.replace("SHARE", str(head.way.share)).replace("COLUMNS", str(head.way.columns))
    before = preamble(np.dtype("float32")) + source_of(head) + KERNELS
    return sanitizing.program(before, "static int missing;", kernel, main)


@pytest.mark.parametrize("way", WAYS)
def test_the_kernel_has_no_race(programs: dict[str, Path], way: str) -> None:
    done = sanitizing.run(programs[way], 0)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize(("way", "barrier"), BARRIERS)
def test_removing_a_barrier_is_a_race(programs: dict[str, Path], way: str, barrier: int) -> None:
    done = sanitizing.run(programs[way], barrier)
    assert "WARNING: ThreadSanitizer: data race" in done.stderr, "this barrier is not needed"
    assert done.returncode == 66
