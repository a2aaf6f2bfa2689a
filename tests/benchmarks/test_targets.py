"""Targets: the settings that the search chose, and how they are measured. Timings decide nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarking import build
from rich.console import Console

import gpunn
from benchmarks import reaching, report, targets
from benchmarks.contestants import OURS, OURS_ON_CUDA, Skipped, plain_torch
from benchmarks.nets import Data
from benchmarks.targets import CANDIDATES, PATH, TARGETS, Target, best, search
from gpunn.datasets.dataset import Split

Y = np.arange(300) % 10
TARGET = Target((784, 16, 10), 10, epochs=3, learning_rate=0.1, accuracy=0.9)
DISTORTED = replace(TARGET, augmentation=gpunn.Augmentation((28, 28), shift=0.5, elastic=1))


def dots() -> Data:
    """Images whose label is the position of their only bright spot, so a few epochs are enough."""
    images = np.zeros((300, 28, 28), np.uint8)
    for image, label in zip(images, Y, strict=True):
        image[10:14, 2 * label : 2 * label + 2] = 255
    X = images.reshape(300, 784).T
    return Data("dots", X, Y, X, Y)


@pytest.mark.parametrize("target", [TARGET, DISTORTED], ids=["plain", "distorted"])
@pytest.mark.parametrize("name", ["gpunn CPU", "PyTorch"])
def test_contestants_reach_a_target(name: str, target: Target) -> None:
    contestant: Any = build(name, target, dots())
    seconds, accuracy = contestant.reach()
    assert seconds > 0 and accuracy >= 0.9


def test_jax_reaches_a_target() -> None:
    contestant: Any = build("JAX", TARGET, dots())
    seconds, accuracy = contestant.reach()
    assert seconds > 0 and accuracy >= 0.9


def test_pytorch_distorts_as_gpunn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    images = torch.rand(3, 784)
    same = plain_torch.distortions(torch, "cpu")(images)
    np.testing.assert_allclose(same, images, atol=1e-5)
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(shape))  # the upper limits
    moved = plain_torch.distortions(torch, "cpu", shift=1)(images).reshape(3, 28, 28)
    np.testing.assert_allclose(moved[:, 1:, 1:], images.reshape(3, 28, 28)[:, :-1, :-1], atol=1e-5)


def test_the_learning_rates_are_those_of_training() -> None:
    rates = TARGET.rates(295)
    assert rates.shape == (90,)
    assert rates[0] == pytest.approx(0.1 * 0.04) and rates.max() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("what", TARGETS)
def test_the_benchmark_trains_what_the_search_chose(what: str) -> None:
    target = TARGETS[what]
    runs = json.loads(PATH.read_text(encoding="utf-8"))[str(target.accuracy)]
    tried = [run["settings"] for run in runs]
    assert all(candidate.plain() in tried for candidate in CANDIDATES[target.accuracy])
    assert len(tried) == len(CANDIDATES[target.accuracy])
    assert best(runs, target.accuracy, on_a_gpu=what.endswith("GPU")) == target.plain()


def test_an_interrupted_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [TARGET, replace(TARGET, learning_rate=1e-6)]
    monkeypatch.setattr(targets, "CANDIDATES", {0.9: few})
    monkeypatch.setattr(targets, "SEEDS", {0.9: 2})
    monkeypatch.setattr(targets, "MARGIN", {0.9: 0.01})
    path, data, told = tmp_path / "targets.json", dots(), list[str]()

    def interrupt(what: str) -> None:
        told.append(what)
        if len(told) == 1:
            raise KeyboardInterrupt

    train = Split(data.X, data.labels)
    with pytest.raises(KeyboardInterrupt):
        search(path, train, interrupt)
    runs = search(path, train, interrupt)["0.9"]
    assert [len(run["accuracies"]) for run in runs] == [2, 1]  # the second is not tried again
    assert len(told) == 3
    assert best(runs, 0.9) == TARGET.plain()


class NoWorkers:
    """Stand in for workers on a machine without a GPU."""

    data = dots()

    def check(self, name: str) -> None:
        if "CUDA" in name:
            raise Skipped("no CUDA device")

    def __getitem__(self, name: str) -> Any:
        self.check(name)
        return self

    def prepare(self, target: Target, seed: int) -> None:
        self.seed = seed

    def seconds(self, m: int, epochs: int) -> float:
        return 1.0

    def reach(self) -> tuple[float, float]:
        return 2.0 + self.seed, 0.95 - self.seed / 10


def test_commands_are_timed_from_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """gpunn's command has the target's settings, and its JSON is read."""
    command = reaching.command
    monkeypatch.setattr(
        reaching, "TARGETS", {"90 %": TARGET, "90 % again": DISTORTED, "odd on a GPU": TARGET}
    )

    def of_digits(name: str, *more: Any) -> list[str]:
        found = command(name, *more)
        return ["digits" if word == "mnist" else word for word in found]

    monkeypatch.setattr(reaching, "command", of_digits)
    found: list[Any] = []
    workers: Any = NoWorkers()
    ticks: list[str] = []
    reaching.measure(workers, [OURS, OURS_ON_CUDA], 2, found.append, ticks.append)
    assert len(ticks) == reaching.ticks([OURS, OURS_ON_CUDA], 2)
    plain, distorted, on_a_gpu = found[-1]
    assert list(on_a_gpu["commands"]) == [OURS_ON_CUDA]
    assert plain["training"][OURS] == {
        "seconds": 2.5,
        "range": [2.0, 3.0],
        "accuracies": [0.95, 0.85],
        "reached": False,
    }
    assert plain["training"][OURS_ON_CUDA] == plain["commands"][OURS_ON_CUDA] == {"skipped": "no CUDA device"}
    assert distorted["training"] == {}
    for block in (plain, distorted):
        own = block["commands"][OURS]
        assert own["wall seconds"] > own["seconds"] > 0
        assert own["reached"] == (own["accuracy"] >= 0.9)
    written = io.StringIO()
    for block in found[-1]:
        Console(width=110, file=written).print(report.target(block))
    assert "2.50" in written.getvalue() and "gpunn CUDA: no CUDA device" in written.getvalue()


def test_a_command_that_fails_is_skipped() -> None:
    with pytest.raises(Skipped, match="failed: ValueError: odd"):
        reaching.run(["-c", "raise ValueError('odd')"], TARGET)


def test_the_plain_loop_imports_nothing_of_this_project(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    arguments = reaching.command("PyTorch", TARGET, dots(), tmp_path)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["test_accuracy"] >= 0.9
    assert "gpunn" not in done.stderr
