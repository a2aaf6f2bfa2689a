"""Successive halving."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeping import X, Y, alone, equal, sweep

import gpunn
from gpunn import Halving

RATES = [0.001, 0.1, 0.01, 1.0]


def halved(**arguments: object) -> gpunn.SweepResult:
    arguments = {
        "grid": {"learning_rate": RATES},
        "halving": 2,
        "epochs": 12,
        "validation": (X, Y),
    } | arguments
    return sweep(metric="validation_loss", schedule="cosine", **arguments)


@pytest.mark.parametrize(
    ("halving", "candidates", "epochs", "ends"),
    [
        (Halving(2), 4, 12, [3, 6, 12]),
        (Halving(3), 9, 30, [3, 10, 30]),
        (Halving(3), 10, 30, [3, 10, 30]),
        (Halving(2), 100, 4, [1, 2, 4]),
        (Halving(3), 1, 5, [5]),
        (Halving(4, first=2), 3, 50, [2, 8, 32, 50]),
        (Halving(2, first=99), 3, 50, [50]),
    ],
)
def test_rounds(halving: Halving, candidates: int, epochs: int, ends: list[int]) -> None:
    assert halving.rounds(candidates, epochs) == ends


def test_the_worst_are_dropped_and_the_best_trained_to_the_end() -> None:
    result = halved(seeds=2)
    trained = {row["learning_rate"]: row["epochs_trained"] for row in result.table}
    assert trained == {0.001: 3, 0.01: 3, 0.1: 6, 1.0: 12}
    assert result.table.column("status") == ["dropped"] * 6 + ["done"] * 2
    assert result.best.settings == {"learning_rate": 1.0}


def test_survivors_equal_networks_that_were_trained_without_a_pause() -> None:
    result = halved(seeds=2)
    options = {"optimizer": gpunn.SGD(1.0), "epochs": 12, "schedule": "cosine", "validation": (X, Y)}
    for i in (6, 7):
        assert equal(result.network(i), alone(seed=i - 6, **options))
        assert [record.epoch for record in result.history(i)] == list(range(1, 13))
        assert result.history(i).stopped == ""


def test_a_network_that_stopped_early_stays_as_it_is() -> None:
    result = halved(stop=gpunn.EarlyStopping("loss", 1, min_delta=10.0))
    assert set(result.table.column("status")) == {"early"}
    assert result.table.column("epochs_trained") == [2] * 4


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_diverged_settings_are_dropped() -> None:
    layers = [gpunn.Dense(4, "relu"), gpunn.Dense(1, "identity")]
    grid = {"learning_rate": [1e30, 1e20, 0.01, 0.001]}
    result = halved(layers=layers, y=X[0] * 3, grid=grid, validation=(X, X[0]))
    assert result.table.column("status") == ["diverged", "diverged", "done", "dropped"]


def test_every_network_is_reported_once() -> None:
    ends: list[gpunn.NetworkEnd] = []
    halved(on_network_end=ends.append)
    assert sorted(end.member.index for end in ends) == [0, 1, 2, 3]
    assert [end.done for end in ends] == [1, 2, 3, 4]


def test_it_resumes_from_its_folder(tmp_path: Path) -> None:
    first = halved(checkpoint=tmp_path, on_network_end=lambda end: end.done == 3)
    assert first.interrupted and first.table.column("epochs_trained") == [3, 6, 3, 6]
    second = halved(checkpoint=tmp_path, resume=True)
    assert second.table.column("status") == ["dropped"] * 3 + ["done"]
    assert not (tmp_path / "states").exists()
    unbroken = halved()
    assert all(equal(second.network(i), unbroken.network(i)) for i in range(4))


def test_it_resumes_with_more_settings(tmp_path: Path) -> None:
    halved(checkpoint=tmp_path, on_network_end=lambda end: True)
    grid = {"learning_rate": [0.5, *RATES]}
    wider = halved(checkpoint=tmp_path, resume=True, grid=grid)
    unbroken = halved(grid=grid)
    assert wider.table.column("status") == unbroken.table.column("status")
    assert all(equal(wider.network(i), unbroken.network(i)) for i in range(5))
