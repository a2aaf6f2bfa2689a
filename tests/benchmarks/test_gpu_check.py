"""Compare the trajectories of CPU and GPU, and check gpunn's speed against the bars."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarking import DATA
from rich.console import Console

from benchmarks import bars, contestants, gpu_check, report
from benchmarks.nets import GPU_NETS, MIDDLE, SMALL, Data, Net
from gpunn.backends.cuda.backend import Cuda


def test_trajectories_are_compared(gpu: Cuda, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nets = [replace(SMALL, sizes=(784, 8, 10)), replace(MIDDLE, sizes=(784, 8, 10), batch_size=50)]
    dots = Data("dots", DATA.X[:, :100], DATA.labels[:100], DATA.X_test, DATA.labels_test)
    assert gpu_check.compare("cuda", tmp_path, nets, dots)
    (path,) = tmp_path.glob("*-trajectories.json")
    kept = json.loads(path.read_text("utf-8"))
    assert [row["net"] for row in kept["nets"]] == [net.title for net in nets]
    assert all(row["holds"] and row["theta_apart_after_an_epoch"] < 1e-3 for row in kept["nets"])
    assert {"date", "machine", "at_most", "data", "device"} <= set(kept)
    assert str(path) in capsys.readouterr().out


def test_diverging_trajectories_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(net: Net, data: Data, device: str) -> tuple[np.ndarray, float]:
        return np.full(3, 1.0 if device == "cpu" else 1.002), 0.9

    monkeypatch.setattr(gpu_check, "train", train)
    row = gpu_check.compare_net(SMALL, DATA, "cuda")
    assert row["theta_apart_after_an_epoch"] == pytest.approx(2e-3)
    assert not row["holds"]


def test_other_trajectories_are_compared_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(net: Net, data: Data, device: str) -> tuple[np.ndarray, float]:
        if net is SMALL:
            raise RuntimeError("an illegal memory access")
        return np.ones(3), 0.9

    monkeypatch.setattr(gpu_check, "train", train)
    assert not gpu_check.compare("cuda", tmp_path, data=DATA)
    (path,) = tmp_path.glob("*-trajectories.json")
    first, second = json.loads(path.read_text("utf-8"))["nets"]
    assert (first["error"], second["holds"]) == ("RuntimeError: an illegal memory access", True)


def test_comparing_on_noise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "load", lambda: DATA)
    with pytest.raises(SystemExit, match="MNIST is not available"):
        gpu_check.main(["compare", "--device", "cuda"])


def test_bars() -> None:
    """Ratios are taken by round, the faster PyTorch counts, and a missing contestant clears no bar."""
    contestants = {
        "gpunn CUDA": {"rounds": [8.0, 10.0, 30.0], "of_floor": 0.8},
        "JAX CUDA": {"rounds": [4.0, 5.0, 6.0]},
        "PyTorch CUDA": {"rounds": [1.0, 2.0, 2.0]},
        "torch.compile CUDA": {"rounds": [2.0, 1.0, 3.0]},
    }
    block = {"net": SMALL.name, "title": SMALL.title, "precision": "float32", "contestants": contestants}
    (row,) = bars.judge([block])
    assert row["found"] == {"jax": 2.0, "pytorch": 5.0, "floor": 1.25}
    assert row["clears"]
    contestants["torch.compile CUDA"] = {"rounds": [2.0, 2.1, 3.0]}
    assert not bars.judge([block])[0]["clears"]
    for missing in ("gpunn CUDA", "JAX CUDA"):
        kept = contestants[missing]
        contestants[missing] = {"skipped": "failed"}
        (row,) = bars.judge([block])
        assert row["found"]["jax"] is None and not row["clears"]
        contestants[missing] = kept
    assert bars.judge([block | {"precision": "bf16"}]) == []
    written = io.StringIO()
    Console(width=110, file=written).print(report.bars(bars.judge([block])))
    assert "2.00 ≥ 1.5" in written.getvalue() and "no" in written.getvalue()


def test_every_bar_belongs_to_a_measured_network() -> None:
    assert set(bars.BARS) == {(net.name, net.precision) for net in GPU_NETS}
    for net in GPU_NETS:
        names = contestants.participants(list(contestants.CONTESTANTS), net)
        assert {contestants.on_cuda(name, net.precision) for name in contestants.ON_CUDA} <= set(names)


def test_the_fit_for_the_sanitizer_runs_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    gpu_check.main(["fit", "--device", "cpu"])
    assert len(capsys.readouterr().out.splitlines()) == 8


STUB = """#!/bin/sh
case "$*" in *xdist*) exit 1;; *"{fails}"*) exit 3;; esac
"""


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "timeout"))), reason="no bash or no timeout")
@pytest.mark.parametrize(("fails", "status"), [("nothing", 0), ("-m benchmarks --quick", 1)])
def test_the_last_lines_are_the_verdict(tmp_path: Path, fails: str, status: int) -> None:
    """Each part has a line, the parts after a failure too."""
    stub = tmp_path / "python"
    stub.write_text(STUB.format(fails=fails), encoding="utf-8")
    stub.chmod(0o755)
    script = Path(gpu_check.__file__).with_suffix(".sh")
    command = ["bash", str(script), "cpu"]
    environment = os.environ | {"PYTHON": str(stub)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    *_, verdict = lines = done.stdout.splitlines()[-8:]
    assert done.returncode == status
    names = "trajectories", "tests", "benchmark", "sweep", "probes", "short fit", "short fit"
    assert [line.startswith(name) for line, name in zip(lines, names, strict=False)] == [True] * 7
    failed = [line.split()[0] for line in lines[:-1] if not line.endswith("passed")]
    assert failed == (["benchmark"] if status else [])
    assert verdict.startswith("FAILED: 1 of 7 parts, in " if status else "PASSED: all 7 parts, in ")
