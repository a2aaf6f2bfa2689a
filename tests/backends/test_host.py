"""Losses and hits on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from gpunn.backends import Host
from gpunn.core.pass_equations import Measure
from gpunn.functions.activations import ACTIVATIONS
from gpunn.functions.costs import COSTS


@pytest.mark.parametrize("n", [2, 10, 64, 65])
@pytest.mark.parametrize("tied", [False, True], ids=["single", "tied"])
def test_hits(on_cpu: None, n: int, tied: bool) -> None:
    """An example is a hit if its label is the first index of its largest output."""
    be, rng, m = Host("float64"), np.random.default_rng(n), 50
    outputs = be.memory.outputs(n, m, over=be.memory.matrix(n, m))
    a, labels, p = outputs.plain, rng.integers(n, size=m), be.data.new_pass(m)
    a[:] = rng.integers(3, size=(n, m)) if tied else rng.random((n, m))
    a[-1, 0] = a[-1, 1] = np.nan  # the largest, for NumPy
    measure = Measure(COSTS["quadratic"], ACTIVATIONS["identity"], a, outputs, np.zeros((n, m)), labels, p)
    for call in be.plan([measure]):
        call()
    np.testing.assert_array_equal(be.data.results(p)[1], a.argmax(0) == labels)


@pytest.mark.parametrize("n", [1, 2, 10, 65])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cost", ["cross-entropy", "quadratic"])
def test_losses(on_cpu: None, n: int, smoothing: float, cost: str) -> None:
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
