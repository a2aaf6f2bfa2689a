"""The folder of a sweep: what is finished is not trained again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeping import X, equal, sweep

import gpunn
from gpunn.sweeps import training

GRID = {"learning_rate": [0.1, 0.5, 1.0]}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the members that are really trained."""
    numbers: list[int] = []
    train = training.train

    def noted(member: Any, *rest: Any) -> Any:
        numbers.append(member.index)
        return train(member, *rest)

    monkeypatch.setattr(training, "train", noted)
    return numbers


def test_a_resumed_sweep_trains_what_is_missing(tmp_path: Path, trained: list[int]) -> None:
    first = sweep(grid=GRID, checkpoint=tmp_path, on_network_end=lambda end: end.done == 2, validation=0.2)
    assert first.interrupted and trained == [0, 1]
    second = sweep(grid=GRID, checkpoint=tmp_path, resume=True, validation=0.2)
    assert trained == [0, 1, 2] and not second.interrupted
    unbroken = sweep(grid=GRID, validation=0.2)
    for i in range(3):
        assert equal(second.network(i), unbroken.network(i))
        assert np.array_equal(second.network(i).predict(X), unbroken.network(i).predict(X))
        assert [r.loss for r in second.history(i)] == [r.loss for r in unbroken.history(i)]
    assert first.table[0] == second.table[0]


def test_a_finished_sweep_can_be_extended(tmp_path: Path, trained: list[int]) -> None:
    sweep(grid=GRID, checkpoint=tmp_path)
    wider = sweep(grid={"learning_rate": [0.05, 0.5]}, seeds=2, checkpoint=tmp_path, resume=True)
    assert trained == [0, 1, 2, 0, 1, 3]  # 0.5 with seed 0 is on file
    assert wider.table.column("status") == ["done"] * 4


def test_finished_networks_are_reported(tmp_path: Path) -> None:
    sweep(grid=GRID, checkpoint=tmp_path)
    ends: list[gpunn.NetworkEnd] = []
    sweep(grid=GRID, checkpoint=tmp_path, resume=True, on_network_end=ends.append)
    assert [end.done for end in ends] == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_a_diverged_network_is_not_trained_again(tmp_path: Path, trained: list[int]) -> None:
    layers = [gpunn.Dense(4, "relu"), gpunn.Dense(1, "identity")]
    for resume in (False, True):
        arguments: dict[str, Any] = {"layers": layers, "y": X[0], "checkpoint": tmp_path, "resume": resume}
        result = sweep(grid={"learning_rate": [1e30, 0.1]}, **arguments)
        assert result.table.column("status") == ["diverged", "done"]
    assert trained == [0, 1]


def test_a_damaged_file_is_trained_again(tmp_path: Path, trained: list[int]) -> None:
    whole = sweep(grid=GRID, checkpoint=tmp_path)
    for path in sorted(tmp_path.glob("*.safetensors"))[:2]:
        path.write_bytes(path.read_bytes()[:-1])
    again = sweep(grid=GRID, checkpoint=tmp_path, resume=True)
    assert len(trained) == 5
    assert all(equal(whole.network(i), again.network(i)) for i in range(3))


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "no resume": ({"resume": False}, "already holds a sweep: pass resume=True, or choose another folder"),
    "data": ({"X": X + 1}, "holds a sweep with another data set"),
    "layers": ({"layers": [gpunn.Dense(3, "softmax")]}, "with another layers"),
    "options": ({"batch_size": 7}, "with another batch size: 32 there, 7 here"),
    "folds": ({"folds": 2}, "with another folds"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_another_sweep_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    sweep(checkpoint=tmp_path)
    with pytest.raises(ValueError, match=message):
        sweep(**({"checkpoint": tmp_path, "resume": True} | change))


def test_functions_of_a_grid_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot tell the functions of a grid apart"):
        sweep(grid={"schedule": [lambda p: 1.0, lambda p: 0.5]}, checkpoint=tmp_path)


KILLED = """
import os, signal, sys
sys.path.insert(0, "tests/support")
from sweeping import sweep
if __name__ == "__main__":
    sweep(grid={"epochs": [1, 2, 1_000_000]}, checkpoint=sys.argv[1],
          on_network_end=lambda end: end.done == 2 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_kill_leaves_what_is_finished(tmp_path: Path, trained: list[int]) -> None:
    script, folder = tmp_path / "killed.py", tmp_path / "sweep"
    script.write_text(KILLED)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "LOKY_MAX_CPU_COUNT": "2"}
    done = subprocess.run([sys.executable, script, folder], cwd=root, env=environment, stdout=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL  # and the workers have ended, or their pipe would still be open
    result = sweep(grid={"epochs": [1, 2, 3]}, checkpoint=folder, resume=True)
    assert trained == [2]
    assert result.table.column("epochs_trained") == [1, 2, 3]
