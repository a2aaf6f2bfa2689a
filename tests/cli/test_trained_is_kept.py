"""Learnt weights are kept, whatever happens to the logs, the folder, the test or the report."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from command_line import QUICK
from reporting import RunCommand

from gpunn import Network
from gpunn.cli import images, job
from gpunn.training import loop


def after_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, act: Any) -> None:
    """Let something happen during training, after an epoch."""
    one_epoch = loop.Training.run_epoch

    def run(training: Any, number: int, progress: Any) -> Any:
        record = one_epoch(training, number, progress)
        if number == epoch:
            act()
        return record

    monkeypatch.setattr(loop.Training, "run_epoch", run)


def test_a_folder_deleted_during_training_is_made_again(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_epoch(monkeypatch, 2, lambda: shutil.rmtree("run"))
    code, _, err = gpunn_("train", "digits", *QUICK, "--epochs", 4, "--output", "run")
    assert code == 0
    assert err == (
        "gpunn: warning: run/history.jsonl: No such file or directory; training goes on without this log\n"
    )
    assert Path("run/history.jsonl").read_text().count("\n") == 4
    assert gpunn_("report", "run")[0] == 0


def test_checkpoints_that_cannot_be_written_do_not_end_training(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def block() -> None:
        shutil.rmtree("run/checkpoints")
        Path("run/checkpoints").write_text("in the way")

    after_epoch(monkeypatch, 2, block)
    arguments = ["--epochs", 4, "--checkpoint-every", 1, "--output", "run"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = gpunn_("train", "digits", *QUICK, *arguments)
    assert code == 0
    assert err == (
        "gpunn: warning: run/checkpoints/epoch-000002.safetensors: File exists; training goes on, the last "
        "checkpoint is of epoch 1\n"
    )
    assert Network.load("run").meta["epochs"] == 4


def test_a_model_whose_folder_cannot_be_written_is_saved_elsewhere(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def block() -> None:
        shutil.rmtree("run")
        Path("run").write_text("in the way")

    after_epoch(monkeypatch, 2, block)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, _, err = gpunn_("train", "digits", *QUICK, "--output", "run")
    (model,) = tmp_path.glob("gpunn-run-*.safetensors")
    assert code == 1
    assert err.endswith(f"gpunn: error: run: File exists; the model is saved in {model} instead\n")
    assert Network.load(model).meta["epochs"] == 2


@pytest.mark.parametrize("logger", ["JsonLines", "TensorBoard"])
def test_a_log_that_cannot_be_written_does_not_end_training(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, logger: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error", "run/log")

    monkeypatch.setattr(job, "TensorBoard", lambda folder: fail)
    monkeypatch.setattr(job, logger, lambda path: fail)
    code, _, err = gpunn_("train", "digits", *QUICK, "--tensorboard", "--json", "--output", "run")
    assert code == 0
    line = "gpunn: warning: run/log: Input/output error; training goes on without this log\n"
    assert set(err.splitlines(keepends=True)) == {line}
    assert Path("run/history.jsonl").read_text().count("\n") == 2


@pytest.mark.parametrize(
    "error",
    [ValueError("the outputs are not finite numbers"), MemoryError(), OSError(5, "Input/output error")],
)
def test_a_test_that_fails_leaves_the_model(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(images.ImageJob, "test", fail)
    code, _, err = gpunn_("train", "digits", *QUICK, "--output", "run")
    assert code == 1
    why = str(error) or "MemoryError"
    line = f"gpunn: error: the model is saved in run/model.safetensors, but its test failed: {why}\n"
    assert err == line
    net = Network.load("run")
    assert (net.meta["epochs"], net.meta["dataset"]) == (2, "digits")
    assert gpunn_("evaluate", "run")[0] == 0
    assert gpunn_("report", "run")[1].startswith("run: stopped after 2 epochs (loss 0.")


def test_ctrl_c_during_the_test_leaves_the_model(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images.ImageJob, "test", interrupt)
    code, _, err = gpunn_("train", "digits", *QUICK, "--output", "run")
    assert (code, err) == (130, "gpunn: interrupted; the model is saved in run/model.safetensors\n")
    assert Network.load("run").meta["epochs"] == 2


def test_ctrl_c_in_the_first_epoch_says_so(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    after_epoch(monkeypatch, 1, interrupt)
    code, out, _ = gpunn_("train", "digits", *QUICK)
    assert code == 130
    assert "%, interrupted in the first epoch\n" in out
    assert "examples/s" not in out
    result = json.loads(gpunn_("train", "digits", *QUICK, "--json")[1])
    assert (result["epochs"], result["interrupted"]) == (0, True)
