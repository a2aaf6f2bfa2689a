"""Networks that are trained in lockstep on a device equal those that are trained there one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated import EmulatedDevice
from roomy import roomy_device
from sweeping import LAYERS, X, Y, sweep

import gpunn
from gpunn import Dense
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.backend import BackendError
from gpunn.sweeps import averaging
from gpunn.sweeps.ensemble import networks_of
from gpunn.training import loop


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    """A device that has room for small networks; all networks are trained on it."""
    return roomy_device(monkeypatch)


def alone(settings: dict[str, Any], seed: int, **options: Any) -> tuple[gpunn.Network, gpunn.History]:
    net = gpunn.Network(5, LAYERS, seed=seed)
    constants = {name: settings[name] for name in ("learning_rate", "l2") if name in settings}
    rest = {name: value for name, value in settings.items() if name not in constants}
    history = net.fit(X, Y, **options, **rest, optimizer=gpunn.SGD(**constants))
    return net, history


def test_every_network_equals_the_one_trained_alone(device: EmulatedDevice) -> None:
    grid = {"learning_rate": [0.1, 0.5], "schedule": [None, "cosine"], "label_smoothing": [0.0, 0.1]}
    options = {"epochs": 3, "batch_size": 8, "validation": (X[:, ::2], Y[::2])}
    result = sweep(grid=grid, seeds=2, **options)
    assert device.launches == {"train": 2 * 3}  # to learn, and to evaluate
    for member in result.members:
        net, history = alone(member.settings, member.seed, **options)
        np.testing.assert_allclose(result.network(member.index).theta, net.theta, rtol=0, atol=1e-6)
        for mine, theirs in zip(result.history(member.index), history, strict=True):
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-6)
            assert mine.validation_accuracy == theirs.validation_accuracy
    device.check()


def test_several_blocks_evaluate_a_network(device: EmulatedDevice) -> None:
    validation = np.tile(X, 5), np.tile(Y, 5)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "validation": validation}
    result = sweep(**options)
    for member in result.members:
        _, history = alone(member.settings, 0, **options)
        for mine, theirs in zip(result.history(member.index), history, strict=True):
            assert mine.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-6)
            assert mine.validation_accuracy == theirs.validation_accuracy
    device.check()


def test_networks_end_each_at_its_own_time(device: EmulatedDevice) -> None:
    """Networks that stop early or diverge cost the others nothing."""
    grid = {"learning_rate": [0.05, 1e30, 3.0]}
    stop = gpunn.EarlyStopping("validation_loss", patience=1)
    options: dict[str, Any] = {"epochs": 6, "batch_size": 8, "validation": 0.2, "stop": stop}
    result = sweep(grid=grid, layers=[Dense(4, "relu"), Dense(3, "identity")], cost="quadratic", **options)
    status = result.table.column("status")
    assert status[0] == "done" and status[1] == "diverged"
    assert "the cost became" in result.table[1]["message"]
    net = gpunn.Network(5, [Dense(4, "relu"), Dense(3, "identity")], "quadratic", seed=0)
    history = net.fit(X, Y, **options, optimizer=gpunn.SGD(0.05))
    np.testing.assert_allclose(result.network(0).theta, net.theta, rtol=0, atol=1e-6)
    assert len(result.history(0)) == len(history)


def test_decay_may_differ_and_the_rule_may_not(device: EmulatedDevice) -> None:
    """Weight decay of 0 is a statement that does nothing."""
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8}
    grid = {"l2": [0.0, 0.1], "l1": [0.0, 0.01], "nesterov": [False, True], "momentum": [0.9]}
    result = sweep(grid=grid, **options)
    assert device.launches["train"] == 2
    sweep(grid={"momentum": [0.0, 0.9]}, **options)
    assert device.launches["train"] == 2 + 2 * 2
    for member in result.members:
        net = gpunn.Network(5, LAYERS, seed=0)
        net.fit(X, Y, **options, optimizer=gpunn.SGD(**member.settings))
        np.testing.assert_allclose(result.network(member.index).theta, net.theta, rtol=0, atol=1e-6)


def test_folds(device: EmulatedDevice) -> None:
    result = sweep(folds=[(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))])
    assert device.launches["train"] == 2 * 2
    for member in result.members:
        kept, held = (
            (np.arange(20, 60), np.arange(20)) if member.fold == 0 else (np.arange(40), np.arange(40, 60))
        )
        net = gpunn.Network(5, LAYERS, seed=0)
        net.fit(X[:, kept], Y[kept], epochs=2, optimizer=gpunn.SGD(member.settings["learning_rate"]))
        np.testing.assert_allclose(result.network(member.index).theta, net.theta, rtol=0, atol=1e-6)
        assert result.history(member.index)[-1].validation_accuracy == net.evaluate(X[:, held], Y[held])[1]


def test_halving_goes_on_where_it_paused(device: EmulatedDevice) -> None:
    options: dict[str, Any] = {"epochs": 8, "validation": (X, Y), "schedule": "cosine"}
    result = sweep(
        grid={"learning_rate": [0.01, 0.1, 0.3, 1.0]}, halving=2, metric="validation_loss", **options
    )
    assert sorted(result.table.column("status")) == ["done", "dropped", "dropped", "dropped"]
    best = result.best.settings["learning_rate"]
    index = [0.01, 0.1, 0.3, 1.0].index(best)
    net, _ = alone({"learning_rate": best}, 0, **options)
    np.testing.assert_allclose(result.network(index).theta, net.theta, rtol=0, atol=1e-6)


def test_networks_that_the_kernel_does_not_know_are_trained_one_by_one(device: EmulatedDevice) -> None:
    result = sweep(layers=[Dense(4, dropout=0.5), Dense(3, "softmax")])
    assert "train" not in device.launches
    assert result.table.column("status") == ["done", "done"]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Press Ctrl-C in the second epoch of every network."""
    record = loop.Training.record

    def broken(training: Any, epoch: int, *rest: Any) -> Any:
        if epoch == 2:
            raise KeyboardInterrupt
        return record(training, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "record", broken)
        yield patch


def test_ctrl_c_keeps_what_every_network_learnt(
    device: EmulatedDevice, interrupted: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Networks that have ended stay on file; the others are rows with their weights and their history."""
    options: dict[str, Any] = {
        "grid": {"epochs": [1, 4], "learning_rate": [0.1, 0.5]},
        "checkpoint": tmp_path,
    }
    # one shape has the same epochs, so both networks of one epoch are finished before the others begin
    result = sweep(**options)
    assert result.interrupted
    assert result.table.column("status") == ["done", "done", "interrupted", "interrupted"]
    assert [len(result.history(i)) for i in range(4)] == [1, 1, 1, 1]
    assert all(np.isfinite(result.network(i).theta).all() for i in range(4))
    assert result.ranked() and set(result.ranked()) == {0, 1}
    interrupted.undo()
    resumed, whole = sweep(**options, resume=True), sweep(grid=options["grid"])
    assert resumed.table.column("status") == ["done"] * 4
    for i in range(4):
        np.testing.assert_array_equal(resumed.network(i).theta, whole.network(i).theta)


def test_a_report_that_ends_the_sweep_loses_no_network_of_its_batch(device: EmulatedDevice) -> None:
    result = sweep(on_network_end=lambda end: True)
    assert result.interrupted
    assert result.table.column("status") == ["done", "done"]


def test_an_error_of_one_network_costs_the_others_nothing(device: EmulatedDevice) -> None:
    def score(outputs: np.ndarray) -> float:
        scored.append(outputs)
        if len(scored) == 2:
            raise ValueError("no score today")
        return 0.5

    scored: list[np.ndarray] = []
    result = sweep(validation=(X, Y), score=score, seeds=2)
    assert sorted(result.table.column("status")) == ["done"] * 3 + ["failed"]
    assert "no score today" in result.table.column("message")


def test_a_fault_of_the_device_is_not_hidden(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only networks that cannot be launched together are trained one by one."""

    def broken(self: Cuda, plans: Any) -> None:
        raise BackendError("out of order")

    monkeypatch.setattr(Cuda, "together", broken)
    with pytest.raises(RuntimeError, match="no network could be trained: out of order"):
        sweep()


def test_networks_of_an_ensemble_stop_on_rows_of_their_own(device: EmulatedDevice) -> None:
    def held_out(seed: int) -> np.ndarray:
        return np.sort(np.random.default_rng(seed).permutation(60)[:12])

    stop = gpunn.EarlyStopping("validation_loss", patience=2)
    options = gpunn.FitOptions(epochs=6, batch_size=8, optimizer=gpunn.SGD(0.5), stop=stop)
    trained = averaging.train(gpunn.Network(5, LAYERS, seed=3), 3, X, Y, options, held_out)
    assert device.launches["train"] > 0
    for net in networks_of(trained.predictor):
        other = gpunn.Network(5, LAYERS, seed=net.meta["seed"])
        history = other.fit(X, Y, options, validation=held_out(net.meta["seed"]))
        np.testing.assert_allclose(net.theta, other.theta, rtol=0, atol=1e-6)
        assert len(trained.members[net.meta["seed"]]) == len(history)
