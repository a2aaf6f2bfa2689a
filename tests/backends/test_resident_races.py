"""ThreadSanitizer finds no race in the resident kernel, but one for every barrier that is removed."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import sanitizing
from networks import resident_pass

import gpunn
from gpunn.backends.cuda.resident import source_of
from gpunn.backends.cuda.shapes import Shape
from gpunn.backends.cuda.source import KERNELS, RESIDENT, preamble

MAIN = """
#include <cstdio>
template <class X> static X* of(size_t n, X value) { return (new std::vector<X>(n, value))->data(); }
int main(int, char** arguments) {
    missing = std::atoi(arguments[1]);
    const Index count = 28;
    Index* order = of<Index>(count, 0);
    for (Index j = 0; j < count; ++j) order[j] = count - 1 - j;
    Member* members = of<Member>(2, Member{});
    for (int k = 0; k < 2; ++k)
        members[k] = {of<T>(1000, 0.5), of<T>(1000, 0), of<T>(1000, 0), order, of<Index>(1, 0),
                      of<Input>(count * 8, 1), of<Index>(count, 2), nullptr, nullptr, of<double>(9, 0.1),
                      of<Index>(1, 0), of<double>(3, 0), of<T>(count, 0), of<unsigned char>(count, 0),
                      of<double>(100, 0.1), of<T>(BLOCKS * EXCHANGED, 0), of<Index>(BLOCKS, 0), 0, count};
    launch(2 * BLOCKS, WIDTH, [=] { train(members); }, SHARED, BLOCKS > CLUSTER, CLUSTER);
    std::puts("done");
}
"""
KINDS = {  # the quick ones first
    "first in registers": {"first_in_registers": True, "buffers": 2, "columns": 12},
    "several tiles": {"first_in_registers": False, "buffers": 1, "columns": 4},
    "a grid shares out the examples": {
        "first_in_registers": False,
        "buffers": 2,
        "columns": 8,
        "blocks": 2,
        "grid": True,
    },
    "a cluster shares out the examples": {
        "first_in_registers": False,
        "buffers": 2,
        "columns": 4,
        "blocks": 2,
    },
    "a grid": {"first_in_registers": True, "buffers": 2, "columns": 8, "blocks": 2, "grid": True},
    "a cluster": {"first_in_registers": True, "buffers": 2, "columns": 8, "blocks": 2},
}
BARRIER = re.compile(
    r"(__syncthreads\(\)|\bmeet\(tag\));(?!  // all blocks have begun)"
)  # which here they have
LINES = [RESIDENT.count("\n", 0, barrier.start()) + 1 for barrier in BARRIER.finditer(RESIDENT)]


@pytest.fixture(scope="module")
def programs() -> list[Path]:
    """Compile the kernel in several shapes; the programs' argument is a barrier to remove, or -1."""
    return [program(kind) for kind in KINDS]


def program(kind: str) -> Path:
    layers = [gpunn.Dense(5, "tanh"), gpunn.Dense(4, "tanh"), gpunn.Dense(3, "softmax")]
    net = gpunn.Network(8, layers, "cross-entropy", seed=0)
    found = resident_pass(net, gpunn.Adam(), 12, 28, scheduled=True)
    shape = Shape(found.task(4), 64, states_in="IN_SHARED", **KINDS[kind])
    numbers = count()
    kernel = BARRIER.sub(lambda barrier: f"if (missing != {next(numbers)}) {barrier[0]}", RESIDENT)
    head = preamble(np.dtype("float32")) + source_of(found, shape, found.motion.moves) + KERNELS
    return sanitizing.program(head, "static int missing;", kernel, MAIN)


def test_the_kernel_has_no_race(programs: list[Path]) -> None:
    for program in programs:
        done = sanitizing.run(program, -1)
        assert done.stderr == ""
        assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("barrier", range(len(LINES)), ids=[f"resident.cu:{line}" for line in LINES])
def test_removing_a_barrier_is_a_race(programs: list[Path], barrier: int) -> None:
    """Find the race in one of the shapes, or an index that nobody has written and that leads astray."""
    found = (sanitizing.run(program, barrier).stderr for program in programs)
    assert any(re.search("ThreadSanitizer: (data race|SEGV)", each) for each in found), "it is not needed"
