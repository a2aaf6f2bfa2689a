"""Check that all contestants that train many networks do the same work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarking import DATA
from roomy import roomy_device

from benchmarks import contestants
from benchmarks.contestants import many
from benchmarks.contestants.base import Skipped
from benchmarks.nets import SMALL, Net, Problem

NETS = [
    replace(SMALL, sizes=(784, 8, 10), batch_size=100, networks=2, learning_rate=0.5),
    Net((784, 8, 10), 100, networks=2),
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.cost)
@pytest.mark.parametrize("name", [name for name in contestants.MANY if name != contestants.AT_ONCE])
def test_all_contestants_learn_the_same_from_a_batch(name: str, net: Net) -> None:
    if "scikit-learn" in name and net.classic:
        pytest.skip("scikit-learn has no quadratic cost")
    problem = Problem(net, DATA)
    try:
        theirs = contestants.MANY[name](problem)
    except Skipped as reason:
        pytest.skip(str(reason))
    ours = contestants.MANY[contestants.AT_ONCE](problem)
    for contestant in (ours, theirs):
        assert contestant.seconds(net.batch_size, 1) > 0
    last = Problem(net, DATA, seed=1).start
    for (w, b), (w_, b_), (w_0, _) in zip(theirs.weights(), ours.weights(), last, strict=True):
        np.testing.assert_allclose(w, w_, rtol=0, atol=1e-5)
        np.testing.assert_allclose(b, b_, rtol=0, atol=1e-5)
        assert np.abs(w - w_0).max() > 1e-3


def test_a_sweep_on_cuda_learns_what_a_loop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    net = replace(NETS[1], batch_size=10)
    loop = many.OneByOne(Problem(net, DATA))
    loop.train(10, 1)
    device = roomy_device(monkeypatch)
    sweep = many.SweepOnCuda(Problem(net, DATA))
    assert sweep.seconds(10, 1) > 0
    assert device.launches["train"] == 1
    for (w, b), (w_, b_) in zip(sweep.weights(), loop.weights(), strict=True):
        np.testing.assert_allclose(w, w_, rtol=0, atol=1e-5)
        np.testing.assert_allclose(b, b_, rtol=0, atol=1e-5)
