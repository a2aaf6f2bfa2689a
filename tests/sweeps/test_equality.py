"""Any network of any sweep equals the one that is trained alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeping import FOLDS, LAYERS, X, Y, equal, grids, sweep, trained_alone

import gpunn
from gpunn import Dense, Network


@given(grid=grids(), seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=2, unique=True))
@settings(max_examples=25)
def test_on_a_cpu_bitwise(grid: dict[str, list[Any]], seeds: list[int]) -> None:
    with ThreadPoolExecutor(2) as executor:
        result = sweep(grid=grid, seeds=seeds, folds=FOLDS, executor=executor, device="cpu")
    assert {row["status"] for row in result.table} <= {"done", "early"}
    for member in result.members:
        assert member.fold is not None
        assert equal(result.network(member.index), trained_alone(member.settings, member.seed, member.fold))


def test_on_a_device_closely(backend: MakeBackend) -> None:
    """On CUDA the sweep runs on the device, in groups of one shape."""
    grid = {"learning_rate": [0.1, 0.5], "hidden": [(4,), (6,)], "batch_size": [7, 16]}
    result = sweep(grid=grid, seeds=2, validation=(X, Y))
    assert result.table.column("status") == ["done"] * 16
    for member in result.members:
        s = member.settings
        net = Network(5, [Dense(*s["hidden"], "tanh"), LAYERS[-1]], seed=member.seed)
        options = {"optimizer": gpunn.SGD(s["learning_rate"]), "batch_size": s["batch_size"], "epochs": 2}
        history = net.fit(X, Y, **options, validation=(X, Y))
        np.testing.assert_allclose(result.network(member.index).theta, net.theta, atol=1e-5)
        assert result.history(member.index)[-1].loss == pytest.approx(history[-1].loss, abs=1e-5)
