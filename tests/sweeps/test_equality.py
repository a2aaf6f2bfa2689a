"""Any network of any sweep equals the one that is trained alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeping import LAYERS, X, Y, equal, sweep

import gpunn
from gpunn import Dense, Network

OPTIMIZERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "sgd": {"momentum": st.sampled_from([0.0, 0.5])},
    "nesterov": {"clip_norm": st.sampled_from([None, 0.5])},
    "adam": {"beta1": st.sampled_from([0.5, 0.9])},
    "lion": {},
}
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "learning_rate": st.floats(1e-3, 1.0),
    "l2": st.sampled_from([0.0, 1e-3]),
    "l1": st.sampled_from([0.0, 1e-3]),
    "max_norm": st.sampled_from([None, 1.0]),
    "hidden": st.sampled_from([(3,), (6, 4), ()]),
    "activation": st.sampled_from(["relu", "sigmoid", "gelu"]),
    "init": st.sampled_from([None, "normal"]),
    "dropout": st.sampled_from([0.0, 0.3]),
    "batch_norm": st.booleans(),
    "input_dropout": st.sampled_from([0.0, 0.2]),
    "epochs": st.integers(1, 4),
    "batch_size": st.sampled_from([1, 7, 32, 100]),
    "schedule": st.sampled_from([None, "cosine", "one-cycle"]),
    "label_smoothing": st.sampled_from([0.0, 0.1]),
    "stop": st.sampled_from([None, gpunn.EarlyStopping("validation_loss", 1)]),
}


@st.composite
def grids(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Draw a grid of an optimizer, and two values of a few other settings."""
    optimizer = draw(st.sampled_from(list(OPTIMIZERS)))
    names = draw(st.lists(st.sampled_from(list(SETTINGS)), max_size=3, unique=True))
    known = SETTINGS | OPTIMIZERS[optimizer]
    names += [name for name in OPTIMIZERS[optimizer] if draw(st.booleans())]
    varied = {name: draw(st.lists(known[name], min_size=1, max_size=2, unique=True)) for name in names}
    return {"optimizer": [optimizer], **varied}


def trained_alone(settings: dict[str, Any], seed: int, fold: int) -> Network:
    """Train a network by itself, as a user would write it down."""
    chosen = dict(settings)
    of_hidden = {n: chosen.pop(n) for n in ("activation", "dropout", "batch_norm") if n in chosen}
    init = chosen.pop("init", None)
    sizes = chosen.pop("hidden", (4,))
    layers = [Dense(n, **({"activation": "tanh", "init": init} | of_hidden)) for n in sizes]
    net = Network(
        5, [*layers, Dense(3, "softmax", init)], seed=seed, input_dropout=chosen.pop("input_dropout", 0.0)
    )
    constants = ("learning_rate", "l2", "l1", "max_norm", "momentum", "clip_norm", "beta1")
    make = gpunn.core.optimizers.OPTIMIZERS[chosen.pop("optimizer")]
    optimizer = make(**{name: chosen.pop(name) for name in constants if name in chosen})
    kept, held = FOLDS[fold]
    data = {"validation": (X[:, held], Y[held]), "epochs": 2, "device": "cpu"}
    net.fit(X[:, kept], Y[kept], **(data | chosen), optimizer=optimizer)
    return net


FOLDS = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]


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
