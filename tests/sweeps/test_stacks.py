"""Networks too large for the resident kernel are trained in one graph, and equal those trained alone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from helpers import MakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeping import FOLDS, LAYERS, X, Y, grids, sweep, trained_alone

import gpunn
from gpunn import Dense, backends
from gpunn.backends.cuda import stacks
from gpunn.backends.cuda.backend import Cuda

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

MakeDevice = Callable[..., EmulatedDevice]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> MakeDevice:
    """Make a device on which no network fits on a multiprocessor; all networks are trained on it."""

    def make(precision: str = "float32", steps: int = Cuda.chunk_steps, **arguments: Any) -> EmulatedDevice:
        device = EmulatedDevice(**arguments)
        be = Cuda(device, precision)
        be.chunk_steps = steps
        monkeypatch.setattr(backends, "choose", lambda *_: be)
        return device

    return make


def watched(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """Return a list that collects the arguments of each call of a function or a method."""
    function, calls = getattr(owner, name), []

    def watching(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(owner, name, watching)
    return calls


def check_alone(
    result: gpunn.SweepResult, layers: list[Dense] = LAYERS, *, atol: float = 1e-6, **options: Any
) -> None:
    """Check that every network equals the one that is trained alone."""
    for member in result.members:
        chosen = dict(member.settings)
        names = ("learning_rate", "l2", "l1", "momentum")
        optimizer = gpunn.SGD(**{name: chosen.pop(name) for name in names if name in chosen})
        net = gpunn.Network(5, layers, options.get("cost"), seed=member.seed)
        how = {name: value for name, value in options.items() if name != "cost"} | chosen
        history = net.fit(X, Y, **how, optimizer=optimizer)
        np.testing.assert_allclose(result.network(member.index).theta, net.theta, rtol=0, atol=atol)
        for mine, theirs in zip(result.history(member.index), history, strict=True):
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)
            assert mine.validation_accuracy == theirs.validation_accuracy


def test_every_network_equals_the_one_trained_alone(make: MakeDevice) -> None:
    device = make()
    grid = {"learning_rate": [0.1, 0.5], "schedule": [None, "cosine"], "label_smoothing": [0.0, 0.1]}
    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "validation": (X[:, ::2], Y[::2])}
    result = sweep(grid=grid, seeds=2, **options)
    assert device.launches["begin_again"] > 0
    check_alone(result, **options)
    device.check()


@given(
    grid=grids(),
    seeds=st.lists(st.integers(0, 2**32), min_size=2, max_size=3, unique=True),
    steps=st.sampled_from([1, 3, 64]),
)
@settings(max_examples=25)
def test_any_settings(make: MakeDevice, grid: dict[str, list[Any]], seeds: list[int], steps: int) -> None:
    device = make("float64", steps)
    result = sweep(grid=grid, seeds=seeds, folds=FOLDS, dtype="float64")
    assert {row["status"] for row in result.table} <= {"done", "early"}
    assert device.launches["begin_again"] > 0
    for member in result.members:
        assert member.fold is not None
        net = trained_alone(member.settings, member.seed, member.fold, "float64")
        np.testing.assert_allclose(result.network(member.index).theta, net.theta, rtol=1e-9, atol=1e-9)
    device.check()


@pytest.mark.parametrize(
    ("layers", "cost", "precision"),
    [
        ([Dense(4, "relu"), Dense(4, "relu"), Dense(3, "softmax")], None, "tf32"),
        ([Dense(4, "softmax", dropout=0.5), Dense(3, "sigmoid")], "quadratic", "float32"),
        ([Dense(4, "sigmoid", batch_norm=True), Dense(3, "identity")], "hinge", "float32"),
        ([Dense(3, "softmax")], "quadratic", "float32"),
    ],
)
def test_any_layers(make: MakeDevice, layers: list[Dense], cost: str | None, precision: str) -> None:
    """Rectified layers, whose bits the products note, too."""
    device = make(precision)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "validation": 0.2, "cost": cost}
    grid = {"learning_rate": [0.01, 0.05], "momentum": [0.5, 0.9], "l1": [1e-3, 1e-2]}
    result = sweep(layers=layers, grid=grid, **options)
    assert device.launches["begin_again"] > 0
    check_alone(result, layers, **options)
    device.check()


def test_an_epoch_of_several_graphs(make: MakeDevice) -> None:
    """A graph of whole mini-batches and one of the rest have scalars of their own."""
    device = make(steps=7)
    grid = {"learning_rate": [0.1, 0.5], "l2": [1e-3, 1e-2], "schedule": [None, "cosine"]}
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "validation": (X[:, :7], Y[:7])}
    result = sweep(grid=grid, **options)
    assert device.launches["begin_again"] == 2 * 2 * (2 + 1)
    check_alone(result, **options)


def test_two_sweeps_are_bitwise_identical(make: MakeDevice) -> None:
    grid = {"learning_rate": [0.1, 0.5], "l2": [0.0, 1e-3]}
    thetas = []
    for _ in range(2):
        make()
        result = sweep(grid=grid, seeds=2, layers=[Dense(8, "relu", dropout=0.3), Dense(3, "softmax")])
        thetas.append([result.network(k).theta for k in range(len(result))])
    np.testing.assert_array_equal(*thetas)


def test_launches_do_not_grow_with_the_networks(make: MakeDevice) -> None:
    counts = []
    for seeds in (2, 9):
        device = make()
        sweep(seeds=seeds, validation=(X, Y), batch_size=8)
        counts.append(device.launches)
    assert counts[0] == counts[1]


def test_networks_end_each_at_its_own_time(make: MakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that stop early or diverge stay in the graph until half of it, or less, is needed."""
    device, bound = make(), watched(monkeypatch, stacks.Stack, "_bind")
    grid = {"learning_rate": [1e30, 0.05, 1e30, 0.1, 3.0, 2.0]}
    stop = gpunn.EarlyStopping("validation_loss", patience=1)
    layers = [Dense(4, "relu"), Dense(3, "identity")]
    options: dict[str, Any] = {"epochs": 40, "batch_size": 8, "validation": 0.2, "stop": stop}
    result = sweep(grid=grid, layers=layers, cost="quadratic", **options)
    status = result.table.column("status")
    assert [status[0], status[2]] == ["diverged"] * 2
    assert "the cost became" in result.table[0]["message"]
    for index in (1, 3):
        net = gpunn.Network(5, layers, "quadratic", seed=0)
        history = net.fit(X, Y, **options, optimizer=gpunn.SGD(grid["learning_rate"][index]))
        np.testing.assert_allclose(result.network(index).theta, net.theta, rtol=0, atol=1e-6)
        assert len(result.history(index)) == len(history)
    ranges = [(first, count) for _, first, count in bound]
    assert ranges[:2] == [(0, 6), (0, 6)] and (1, 3) in ranges
    device.check()


def test_networks_with_other_equations_have_a_graph_of_their_own(
    make: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, made = make(), watched(monkeypatch, stacks.Stack, "__init__")
    result = sweep(grid={"learning_rate": [0.1, 0.5], "l2": [0.0, 1e-3, 1e-2]}, batch_size=60)
    assert sorted(len(said) for _, _, said, _ in made) == [2, 4]
    check_alone(result, epochs=2, batch_size=60)
    device.check()


def test_what_cannot_share_a_graph_is_trained_one_by_one(make: MakeDevice) -> None:
    device = make()
    result = sweep(grid={"dropout": [0.1, 0.2, 0.3]})
    assert result.table.column("status") == ["done"] * 3
    assert "begin_again" not in device.launches


def test_bfloat16(make: MakeDevice) -> None:
    device = make("bf16")
    result = sweep(precision="bf16")
    assert result.table.column("status") == ["done"] * 2
    assert "begin_again" not in device.launches


def test_halving_goes_on_where_it_paused(make: MakeDevice) -> None:
    device = make()
    options: dict[str, Any] = {"epochs": 8, "validation": (X, Y), "schedule": "cosine"}
    rates = [0.01, 0.1, 0.3, 1.0]
    result = sweep(grid={"learning_rate": rates}, halving=2, metric="validation_loss", **options)
    assert sorted(result.table.column("status")) == ["done", "dropped", "dropped", "dropped"]
    assert device.launches["begin_again"] > 0
    best = result.best.settings["learning_rate"]
    net = gpunn.Network(5, LAYERS, seed=0)
    net.fit(X, Y, **options, optimizer=gpunn.SGD(best))
    np.testing.assert_allclose(result.network(rates.index(best)).theta, net.theta, rtol=0, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rectified_layers_on_every_backend(backend: MakeBackend, momentum: float) -> None:
    """On CUDA the library applies bias, ReLU and its derivative to a batch of products."""
    layers = [Dense(24, "relu"), Dense(16, "relu"), Dense(3, "softmax")]
    options: dict[str, Any] = {"epochs": 2, "batch_size": 20, "validation": (X, Y)}
    result = sweep(
        grid={"learning_rate": [0.05, 0.1], "momentum": [momentum]}, layers=layers, seeds=2, **options
    )
    check_alone(result, layers, **options, atol=1e-5)


def test_examples_that_stay_on_the_host(make: MakeDevice) -> None:
    device = make(nbytes=0)
    with pytest.warns(UserWarning, match="stay on the host"):
        gpunn.Network(5, LAYERS, seed=0).fit(X, Y, epochs=1)
    result = sweep()
    assert result.table.column("status") == ["done"] * 2
    assert "begin_again" not in device.launches


def test_memory_says_how_many_train_at_once(make: MakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make()
    monkeypatch.setattr(Cuda, "at_once", lambda own, nbytes: 3)
    bound = watched(monkeypatch, stacks.Stack, "_bind")
    result = sweep(seeds=4, epochs=1, batch_size=60)
    assert [count for *_, count in bound] == [3, 3, 2]
    check_alone(result, epochs=1, batch_size=60)
    device.check()


def test_memory_is_free_again_at_once(make: MakeDevice) -> None:
    """The next stack may need it."""
    device, free = make(), []
    gc.disable()
    try:
        for _ in range(2):
            sweep(validation=(X, Y))
            free.append(device.free_bytes())
    finally:
        gc.enable()
    assert free[0] == free[1]


def test_the_estimate_of_memory_is_from_above(make: MakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of as many networks as there is said to be room for fits."""
    device, asked = make(), watched(monkeypatch, Cuda, "at_once")
    least, free = [], device.free_bytes()
    allocate = device.allocate

    def noting(nbytes: int, zeros: bool = False) -> Any:
        made = allocate(nbytes, zeros)
        least.append(device.free_bytes())
        return made

    monkeypatch.setattr(device, "allocate", noting)
    stop = gpunn.EarlyStopping("validation_loss")
    sweep(grid={"learning_rate": [0.1, 0.2]}, optimizer="adam", validation=(X, Y), stop=stop)
    (_, nbytes), *_ = asked
    assert free - min(least) < 2 * nbytes
