"""The CPU's own ways: products in pieces, prepared examples, and hits among few outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpunn.backends import Host
from gpunn.backends.host import products
from gpunn.core.pass_equations import Gather, Measure
from gpunn.functions.activations import ACTIVATIONS
from gpunn.functions.costs import COSTS

# (n, n_in, m)
SHAPES = [(100, 65, 200), (128, 785, 31), (7, 999, 255), (700, 785, 3), (61, 3, 200), (61, 60, 199)]


def matrix(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.asfortranarray(rng.standard_normal(shape))


@pytest.mark.parametrize("in_place", [True, False], ids=["pieces", "whole"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_product(
    shape: tuple[int, int, int], beta: float, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three products of a layer agree with NumPy's, in pieces or not."""
    monkeypatch.setattr(products, "reads_in_place", lambda: in_place)
    (n, n_in, m), rng, gemm = shape, np.random.default_rng(0), Host("float64").context.gemm
    w, a, delta = matrix(rng, n, n_in), matrix(rng, n_in, m), matrix(rng, n, m)
    cases: list[tuple[np.ndarray, np.ndarray, int, int]] = [(w, a, 0, 0), (w, delta, 1, 0), (delta, a, 0, 1)]
    for left, right, trans_left, trans_right in cases:
        expected = 0.3 * (left.T if trans_left else left) @ (right.T if trans_right else right)
        out = matrix(rng, *expected.shape)
        expected += beta * out
        calls = products.product(
            gemm, np.array(0.3), left, right, np.array(beta), out, trans_left, trans_right
        )
        for call in calls:
            call()
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


def count(n: int, n_in: int, m: int, dtype: str = "float32") -> int:
    """Count the pieces of a product."""
    a, b, c = (np.empty(shape, dtype, order="F") for shape in ((n, n_in), (n_in, m), (n, m)))
    return len(products.product(len, np.array(1, dtype), a, b, np.array(0, dtype), c))


def test_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of a few millions is cut; smaller, larger and wider ones are not."""
    monkeypatch.setattr(products, "reads_in_place", lambda: True)
    assert [count(100, k, 200) for k in (49, 50, 51, 101, 200, 201)] == [1, 1, 2, 3, 4, 1]
    assert [count(1000, k, 10) for k in (800, 801)] == [9, 1]
    assert [count(1000, k, 10, "float64") for k in (200, 201)] == [3, 1]
    assert [count(100, 65, m) for m in (256, 257)] == [2, 1]


def test_pieces_are_even() -> None:
    """Parts of rows are multiples of 16, and no piece is too large to be read in place."""
    assert [part.stop - part.start for part in products._cuts(256, 127, 16)] == [96, 96, 64]
    assert [part.stop - part.start for part in products._cuts(10, 4)] == [4, 4, 2]
    assert [part.stop - part.start for part in products._cuts(30, 15, 16)] == [15, 15]


@pytest.fixture
def gathered() -> Any:
    """Gather from examples that are gathered repeatedly; return x with its ones, and the examples."""
    be, X = Host("float64"), np.arange(12.0).reshape(3, 4, order="F")
    examples, p = be.data.examples(X, np.arange(4), None), be.data.new_pass(2)
    x, y, labels = be.memory.inputs(examples, 2, 0.0), be.memory.matrix(4, 2), be.memory.labels(2)
    calls = be.plan([Gather(examples, p, x, y, labels, repeated=True)])

    def gather(order: list[int]) -> np.ndarray:
        be.data.start_pass(p, np.array(order))
        for call in calls:
            call()
        found: np.ndarray = x.ones
        return found

    return gather, be, examples


def test_prepared_examples(gathered: Any) -> None:
    """Prepared examples bring their row of ones along, and follow X when it is replaced."""
    gather, be, examples = gathered
    np.testing.assert_array_equal(gather([2, 0]), [[6, 0], [7, 1], [8, 2], [1, 1]])
    be.data.refill(examples, -examples.X, np.arange(4), None, None)
    np.testing.assert_array_equal(gather([0, 3]), [[0, -9], [-1, -10], [-2, -11], [1, 1]])


@pytest.mark.parametrize("n", [2, 10, 64, 65])
@pytest.mark.parametrize("tied", [False, True], ids=["single", "tied"])
def test_hits(n: int, tied: bool) -> None:
    """An example is a hit if its label is the first index of its largest output."""
    be, rng, m = Host("float64"), np.random.default_rng(n), 50
    outputs = be.memory.outputs(n, m, over=be.memory.matrix(n, m))
    a, labels, p = outputs.plain, rng.integers(n, size=m), be.data.new_pass(m)
    a[:] = rng.integers(3, size=(n, m)) if tied else rng.random((n, m))
    measure = Measure(COSTS["quadratic"], ACTIVATIONS["identity"], a, outputs, np.zeros((n, m)), labels, p)
    for call in be.plan([measure]):
        call()
    np.testing.assert_array_equal(be.data.results(p)[1], a.argmax(0) == labels)


@pytest.mark.parametrize("n", [1, 2, 10, 65])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cost", ["cross-entropy", "quadratic"])
def test_losses(n: int, smoothing: float, cost: str) -> None:
    """The loss of an example sums up all outputs, also where it is computed from the label's output alone."""
    be, rng, m = Host("float64"), np.random.default_rng(n), 20
    outputs = be.memory.outputs(n, m, over=be.memory.matrix(n, m))
    a, labels, p = outputs.plain, rng.integers(n, size=m), be.data.new_pass(m)
    a[:] = rng.random((n, m)) + 0.01
    a[:, 0] = 1
    y = (1 - smoothing) * np.eye(n)[:, labels] + smoothing / n
    softmax = ACTIVATIONS["softmax"]
    for call in be.plan([Measure(COSTS[cost], softmax, a, outputs, y, labels, p, smoothing == 0)]):
        call()
    share = -y * np.log(a) if cost == "cross-entropy" else (a - y) ** 2 / 2
    np.testing.assert_allclose(be.data.results(p)[0], share.sum(0), rtol=1e-12, atol=1e-12)
    assert not np.signbit(be.data.results(p)[0][0])
