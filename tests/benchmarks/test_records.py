"""The records run to their end with few epochs on few images, and an interrupted search goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarking import random_mnist

import gpunn
from benchmarks.reproductions import ciresan, committee, held_out_search, styles
from benchmarks.reproductions.held_out_search import Runs
from gpunn.backends.cuda.backend import Cuda

MODULES = {"ciresan": ciresan, "committee-25": committee}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train small networks for few epochs on random digits."""
    for module in MODULES.values():
        search: Any = module.SEARCH
        first = replace(search.first, batch_size=32)
        choices = {"learning_rate": (0.01, 0.1), "elastic": (0.0, 40.0)}
        few = replace(search, first=first, choices=choices, count=4, rounds=(1, 2))
        monkeypatch.setattr(module, "SEARCH", few)
        monkeypatch.setattr(module, "SIZES", (8, 10))
        monkeypatch.setattr(module, "EPOCHS", 2)
        monkeypatch.setattr(module, "mnist", random_mnist)
    monkeypatch.setattr(ciresan, "SEEDS", 2)
    monkeypatch.setattr(committee, "COMMITTEES", 2)
    monkeypatch.setattr(committee, "MEMBERS", 10)


def check(name: str, folder: Path) -> None:
    """Run a reproduction, and check what it keeps."""
    found = MODULES[name].measure(folder)
    kept = json.loads((folder / f"{name}-runs.json").read_text("utf-8"))
    assert kept["complete"] and not list(folder.glob("*-networks"))
    searched = [run["epochs"] for run in kept["runs"] if run["part"] == "search"]
    assert searched == [1, 1, 1, 1, 2, 2]
    final = [run for run in kept["runs"] if run["part"] == "final"]
    assert len(final) == (2 if name == "ciresan" else 1)
    assert all(run["epochs"] == 2 and run["settings"] == found.runs["settings"] for run in final)
    assert len(found.runs["errors in percent"]) == 2
    assert "after 2 epochs" in found.measured and not found.passed


@pytest.mark.parametrize("name", MODULES)
def test_a_record_on_the_cpu(short: None, name: str, tmp_path: Path) -> None:
    check(name, tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_a_record_on_a_gpu(
    short: None, name: str, tmp_path: Path, gpu: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out_search, "explain_cuda", str)
    monkeypatch.setattr(held_out_search, "where", lambda: {"device": "cuda"})  # the emulated one, in float32
    check(name, tmp_path)


def test_an_interrupted_search_goes_on_where_it_ended(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks trained before and after the interruption are those of an unbroken search."""
    sweep, trained = gpunn.sweep, []

    def interrupted_after(most: int) -> None:
        def count(*data: Any, on_network_end: Any, **options: Any) -> Any:
            def end(network: Any) -> bool:
                on_network_end(network)
                trained.append(network)
                return len(trained) == most

            return sweep(*data, on_network_end=end, **options)

        monkeypatch.setattr(gpunn, "sweep", count)

    for most in (3, 5):
        interrupted_after(most)
        with pytest.raises(KeyboardInterrupt):
            ciresan.measure(tmp_path)
        kept = json.loads((tmp_path / "ciresan-runs.json").read_text("utf-8"))
        assert len(kept["runs"]) == most and not kept["complete"]
    interrupted_after(-1)
    check("ciresan", tmp_path)
    assert len(trained) == 4 + 2 + 2
    monkeypatch.setattr(gpunn, "sweep", sweep)
    errors = held_out_errors(tmp_path)
    check("ciresan", tmp_path)  # anew, since the last reproduction is complete
    assert held_out_errors(tmp_path) == errors


def held_out_errors(folder: Path) -> list[tuple[float, float]]:
    kept = json.loads((folder / "ciresan-runs.json").read_text("utf-8"))["runs"]
    return [
        (run["settings"]["learning_rate"], run[held_out_search.ERROR]) for run in kept if "seed" not in run
    ]


def test_interrupted_final_runs_keep_their_networks(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second style's networks are not there yet; the first style's are not trained again."""
    train_all, called = held_out_search.train_all, []

    def count(sizes: Any, candidates: Any, *more: Any, **options: Any) -> Any:
        called.append(options.get("checkpoint"))
        if len(called) == 2:
            raise KeyboardInterrupt
        return train_all(sizes, candidates, *more, **options)

    monkeypatch.setattr(committee, "train_all", count)
    with pytest.raises(KeyboardInterrupt):
        committee.measure(tmp_path)
    folder = tmp_path / "committee-25-networks" / "as-they-are"
    times = {path: path.stat().st_mtime_ns for path in folder.glob("network-*")}
    assert len(times) == 4
    ended: list[dict[Path, int]] = []
    monkeypatch.setattr(
        held_out_search.shutil,
        "rmtree",
        lambda _: ended.append({own: own.stat().st_mtime_ns for own in times}),
    )
    assert committee.measure(tmp_path).runs["errors in percent"]
    assert ended == [times]


def test_runs_of_another_search_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    Runs(path, {"claim": "one"}).keep(part="search", epochs=1)
    assert Runs(path, {"claim": "one"}).find(epochs=1)
    assert not Runs(path, {"claim": "other"}).all


def test_candidates_differ_and_begin_with_the_first() -> None:
    for module in MODULES.values():
        found = module.SEARCH.candidates()
        assert len(set(found)) == len(found) == 18
        assert found[0] == module.SEARCH.first
        assert found == module.SEARCH.candidates()


def digit() -> np.ndarray:
    """Draw a slanted line, 6 columns wide, as X (784, 1)."""
    image = np.zeros((28, 28), np.uint8)
    for row in range(4, 24):
        image[row, 17 - row // 4 : 19 - row // 4] = 255
    return np.asfortranarray(image.reshape(784, 1))


@pytest.mark.parametrize("width", [10, 14, 18])
def test_digits_are_stretched_to_a_width(width: int) -> None:
    image = styles.restyle(digit(), styles.of_width(width)).reshape(28, 28)
    inked = np.flatnonzero((image > 127).any(axis=0))
    assert abs(inked[-1] - inked[0] + 1 - width) <= 1
    assert inked[0] + inked[-1] == pytest.approx(27, abs=1)


def test_digits_are_made_upright() -> None:
    image = styles.restyle(digit(), styles.upright).reshape(28, 28).astype(float)
    rows, columns = np.mgrid[:28, :28]
    centre = [np.average(part, weights=image) for part in (rows, columns)]
    assert abs(np.average((rows - centre[0]) * (columns - centre[1]), weights=image)) < 0.5
    assert image.sum() == pytest.approx(digit().sum(), rel=0.01)


def test_empty_images_stay_empty() -> None:
    for sources in (styles.of_width(10), styles.upright):
        assert not styles.restyle(np.zeros((784, 2), np.uint8), sources).any()


STUB = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in *"{fails}"*) exit 1;; esac
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(("fails", "status"), [("nothing", 0), ("benchmarks.reproductions", 1)])
def test_the_script_runs_both_parts(tmp_path: Path, fails: str, status: int) -> None:
    """The second part runs even if the first fails."""
    stub, log = tmp_path / "python", tmp_path / "log"
    stub.write_text(STUB.format(fails=fails, log=log), encoding="utf-8")
    stub.chmod(0o755)
    script = Path(gpunn.__file__).parents[1] / "benchmarks" / "records.sh"
    environment = os.environ | {"PYTHON": str(stub), "RESULTS": str(tmp_path)}
    assert subprocess.run(["bash", str(script)], env=environment, check=False).returncode == status
    calls = log.read_text(encoding="utf-8").splitlines()
    assert [call.split()[1] for call in calls[1:]] == ["benchmarks.reproductions", "benchmarks"]
