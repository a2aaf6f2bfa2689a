"""Reports of unusual runs (interrupted, resumed, one class, many classes), and reports that fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import KINDS, RunCommand, kept, text_of

from gpunn import Network, datasets
from gpunn.report import page
from gpunn.report.run import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("epoch", "words"), [(1, "No epoch was completed"), (3, "Training was interrupted")])
def test_interrupted_runs_say_so(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None], epoch: int, words: str
) -> None:
    interrupt(epoch)
    code, out, _ = gpunn_("train", *KINDS["images"], "--output", tmp_path)
    assert code == 130 and f"report {tmp_path}/report.html" in out
    assert words in text_of(tmp_path)
    assert ('id="curves"' in text_of(tmp_path)) == (epoch > 1)
    assert len(Run.load(tmp_path).history) == epoch - 1
    assert gpunn_("report", tmp_path)[0] == 0


def test_a_reused_folder_shows_the_last_run(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    assert gpunn_("train", *KINDS["images"], "--output", tmp_path)[0] == 0
    interrupt(1)
    code, out, _ = gpunn_("train", *KINDS["images"], "--output", tmp_path, "--overwrite")
    assert code == 130
    assert re.search(r"test accuracy [\d.]+%, interrupted in the first epoch\n", out)
    assert len(Run.load(tmp_path).history) == 0


def test_early_stopping_names_the_best_epoch(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    options = ["--epochs", "60", "--patience", "3", "--output", tmp_path, "--json"]
    result = json.loads(gpunn_("train", "digits", "--hidden", "16", *options)[1])
    assert result["stopped"] == "early"
    history = Run.load(tmp_path).history
    assert result["best_epoch"] == len(history) - 3
    best = max(record.validation_accuracy for record in history)
    assert history[result["best_epoch"] - 1].validation_accuracy == best
    assert f"The weights are those of epoch {result['best_epoch']}," in text_of(tmp_path)
    assert "held-out training data" in text_of(tmp_path) and "test examples" not in text_of(tmp_path)


def test_a_resumed_run_reports_every_epoch(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    folder, options = tmp_path / "run", ["--checkpoint-every", "1"]
    interrupt(3)
    assert gpunn_("train", *KINDS["images"], *options, "--output", folder)[0] == 130
    command = kept(folder)["command"]
    interrupt(0)
    assert gpunn_("train", "--resume", folder, "--json")[0] == 0
    run = Run.load(folder)
    assert len(run.history) == 3 and run.command == command and "interrupted" not in text_of(folder)


def test_outputs_without_probabilities_have_no_calibration(
    runs: Path, gpunn_: RunCommand, tmp_path: Path
) -> None:
    options = ["--output-activation", "identity", "--cost", "hinge", "--output", tmp_path, "--json"]
    assert gpunn_("train", *KINDS["classes"], *options)[0] == 0
    found = kept(tmp_path)["findings"]
    assert found["calibration"] is None
    assert {mistake["probability"] for mistake in found["mistakes"]} == {None}
    assert "Calibration" not in text_of(tmp_path) and "nan" not in text_of(tmp_path)


@pytest.mark.filterwarnings("ignore:.* examples are of the class")
@pytest.mark.parametrize("classes", [1, 30])
def test_one_class_and_many_classes(runs: Path, gpunn_: RunCommand, tmp_path: Path, classes: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 5, 4), np.uint8)
    for name in datasets.folder.FILES:
        array = images if "images" in name else np.arange(90, dtype=np.uint8) % classes
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (tmp_path / name).write_bytes(header + array.tobytes())
    sigmoid = ["--output-activation", "sigmoid"] if classes == 1 else []
    options = ["--epochs", "2", "--hidden", "8", "--output", tmp_path / "run", "--json"]
    assert gpunn_("train", tmp_path, *sigmoid, *options)[0] == 0
    text = text_of(tmp_path / "run")
    assert ("All 30 classes" in text) == ("The most frequent confusions" in text) == (classes == 30)


@pytest.mark.parametrize("error", [OSError("the disk is full"), RuntimeError("odd")])
def test_a_failing_report_is_only_a_warning(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(page, "render_report", fail)
    (tmp_path / "report.html").write_text("an earlier run")
    (tmp_path / "history.jsonl").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = gpunn_("train", *KINDS["images"], "--output", tmp_path, "--json")
    assert code == 0 and json.loads(out)["report"] is None
    assert err.startswith("gpunn: warning: the run is saved, but without a report: ") and err.count("\n") == 1
    assert Network.load(tmp_path).meta["test_accuracy"] == json.loads(out)["test_accuracy"]
    assert not (tmp_path / "report.html").exists()


def test_ctrl_c_during_the_report_keeps_the_model(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "render_report", interrupt)
    code, out, err = gpunn_("train", *KINDS["images"], "--output", tmp_path, "--json")
    model = tmp_path / "model.safetensors"
    assert (code, out) == (130, "")
    assert err == f"gpunn: interrupted; the model is saved in {model}\n"
    assert Network.load(model).meta["test_accuracy"] > 0.5


def test_the_first_drawing_is_silent(tmp_path: Path) -> None:
    """Matplotlib builds its font cache silently, and is not imported before training."""
    code = (
        "import sys; from gpunn.cli import training\n"
        "loaded = [m for m in ('matplotlib', 'jinja2', 'PIL', 'sklearn') if m in sys.modules]\n"
        "from gpunn import cli; code = cli.main(sys.argv[1:]); print(loaded, code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    arguments = ["train", *KINDS["images"], "--output", str(tmp_path / "run")]
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.splitlines()[-1] == "[] 0"
    assert (tmp_path / "run" / "report.html").exists() and any((tmp_path / "fonts").iterdir())


def test_a_report_of_mnist_is_small(gpunn_: RunCommand, tmp_path: Path, mnist: Any) -> None:
    options = ["--epochs", "1", "--hidden", "64", "--output", tmp_path, "--json"]
    assert gpunn_("train", "mnist", *options)[0] == 0
    assert (tmp_path / "report.html").stat().st_size < 300_000
    assert (tmp_path / "run.json").stat().st_size < 50_000
