"""Several blocks train one network, sharing out its inputs or its examples, as the CPU does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from resident_cases import SIGMOIDS, Case, check, count_launches, shape_as, theta_after

import gpunn

ADAM = gpunn.Adam(0.05)
DEEP = [gpunn.Dense(7, "relu"), gpunn.Dense(5), gpunn.Dense(4, "softmax")]
SOFTMAX = [gpunn.Dense(4, "softmax")]
BYTES = {"pixels": True, "optimizer": ADAM}
WEIGHTED = {"pixels": True, "sample_weight": np.arange(43) % 3}

# by name: a case, the blocks, and the examples of a tile
INPUTS = {
    "inputs: the book's": (Case(SIGMOIDS, "quadratic", n_in=20), 4, 8),
    "inputs: pixels": (Case(SIGMOIDS, "quadratic", n_in=32, how=BYTES), 4, 8),
    "inputs: pixels, an odd number": (Case(SIGMOIDS, "quadratic", n_in=9, how={"pixels": True}), 3, 8),
    "inputs: several tiles": (Case(SOFTMAX, "cross-entropy", n_in=20, m=70, batch_size=35), 2, 12),
}
EXAMPLES = {
    "examples: the book's": (Case(SIGMOIDS, "quadratic"), 4, 4),
    "examples: a block without any": (Case(SIGMOIDS, "quadratic", m=17, batch_size=5), 4, 4),
    "examples: several tiles": (
        Case(DEEP, "cross-entropy", m=150, batch_size=70, how={"optimizer": gpunn.Nesterov(0.05, l2=0.1)}),
        2,
        12,
    ),
    "examples: pixels": (Case(SOFTMAX, "cross-entropy", n_in=20, how=WEIGHTED), 2, 4),
    "examples: scheduled": (
        Case(SIGMOIDS, "quadratic", how={"optimizer": ADAM, "schedule": "cosine"}),
        3,
        4,
    ),
}
pytestmark = [
    pytest.mark.parametrize("on", ["emulated"], indirect=True),  # a GPU chooses the shape itself
    pytest.mark.parametrize("grid", [False, True], ids=["cluster", "grid"]),
]


@pytest.mark.parametrize("name", [*INPUTS, *EXAMPLES])
def test_several_blocks(
    name: str, grid: bool, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, blocks, columns = (INPUTS | EXAMPLES)[name]
    first = name in INPUTS
    shape_as(monkeypatch, blocks=blocks, columns=columns, first_in_registers=first, grid=grid)
    launches = count_launches(on("device", cluster=1 if grid else 4), monkeypatch)
    theta_after(case)
    assert launches == [blocks]
    check(case, on)


@pytest.mark.parametrize("place", ["IN_REGISTERS", "IN_SHARED"])
@pytest.mark.parametrize("first", [True, False], ids=["inputs", "examples"])
def test_float32_is_bitwise_repeatable(
    first: bool, place: str, grid: bool, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, thetas = Case(SIGMOIDS, "quadratic", n_in=20, how={"optimizer": ADAM}), []
    shape_as(monkeypatch, blocks=4, first_in_registers=first, states_in=place, grid=grid)
    for _ in range(2):
        launches = count_launches(on("device", "float32", cluster=1 if grid else 4), monkeypatch)
        thetas.append(theta_after(case, "float32", 3)[0])
        assert launches == [4]
    assert thetas[0].tobytes() == thetas[1].tobytes()
    on("cpu", "float32")
    np.testing.assert_allclose(thetas[0], theta_after(case, "float32", 3)[0], rtol=0, atol=1e-5)
