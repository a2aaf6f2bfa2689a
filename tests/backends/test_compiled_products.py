"""The products of the compiled kernels, through single equations, for all kinds of shapes."""

from __future__ import annotations

import subprocess
import sys

import guarded
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_operations import EQUATIONS, Case, Maker, Zones, run

from gpunn.backends.host.compiled.operations import Program

pytestmark = pytest.mark.usefixtures("kernels")

THREADS = (2, 3, 5, 8)
# around the sizes of vectors, tiles, copies and blocks
EDGES = [47, 48, 49, 63, 64, 65, 127, 128, 129, 255, 256, 257, 503, 504, 505, 511, 512, 513, 700, 1025]
SIZES = st.one_of(st.integers(1, 40), st.sampled_from(EDGES))
SHAPES = st.tuples(SIZES, SIZES, SIZES)
MOST = 10_000_000  # multiplications


def check(case: Case) -> None:
    """Fail unless what was written is what had to be, NaN and infinities included."""
    for found, expected, error in zip(case.written, case.expected, case.errors, strict=True):
        special = ~np.isfinite(expected)
        np.testing.assert_array_equal(found[special], expected[special])
        np.testing.assert_array_less(abs(found - expected)[~special], error[~special] + 1e-30)


def check_bits(case: Case, program: Program, before: list[np.ndarray]) -> None:
    """Fail unless any number of threads computes the same bits."""
    first = [x.copy() for x in case.written]
    for threads in THREADS:
        for x, was in zip(case.written, before, strict=True):
            x[...] = was
        run(program, threads)
        for x, expected in zip(case.written, first, strict=True):
            np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EQUATIONS)
@settings(max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_equals_numpy(name: str, dtype: str, shape: tuple[int, int, int], seed: int) -> None:
    """Nothing beside the operands is read or written, and no operand that is only read changes."""
    assume(np.prod(shape) <= MOST)
    zones = Zones()
    make = Maker(dtype, shape, zones, seed)
    case = EQUATIONS[name](make)
    before, read = [x.copy() for x in case.written], [x.copy() for x in case.read]
    (program,) = make.programs(case)
    run(program, 1)
    check(case)
    check_bits(case, program, before)
    zones.check()
    for x, was in zip(case.read, read, strict=True):
        np.testing.assert_array_equal(x, was)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["forward", "hidden error", "gradient"])
@settings(max_examples=10)
@given(shape=SHAPES, seed=st.integers(0, 999), number=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_infinities_survive(
    name: str, dtype: str, shape: tuple[int, int, int], seed: int, number: float
) -> None:
    assume(np.prod(shape) <= MOST)
    rng = np.random.default_rng(seed)

    def spoil(x: np.ndarray) -> None:
        x.reshape(-1, order="A")[rng.integers(x.size)] = number

    with np.errstate(invalid="ignore"):
        make = Maker(dtype, shape, Zones(), seed, spoil)
        case = EQUATIONS[name](make)
        (program,) = make.programs(case)
        run(program, 3)
        check(case)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_beyond_the_end_of_memory_is_read(dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, guarded.__file__, dtype], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
