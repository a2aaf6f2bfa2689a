"""The folder of a run: it is locked, and files of two runs are never mixed in it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import QUICK, contents
from reporting import RunCommand

import gpunn
from gpunn import Network
from gpunn.cli import images, locking, runs
from gpunn.files import writing
from gpunn.training import loop

REPLACE = ["--output", "run", "--overwrite"]


def test_a_failed_run_leaves_the_earlier_run_whole(
    gpunn_: RunCommand, refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0
    before, one_epoch = contents("run"), loop.Training.run_epoch

    def diverge(training, epoch, progress):
        if epoch == 2:
            raise gpunn.Diverged("the cost became inf")
        return one_epoch(training, epoch, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "run_epoch", diverge)
        refused(["train", "digits", *QUICK, "--seed", 1, *REPLACE, "--json"], "inf", code=1)
    after = contents("run")
    assert after.pop("history.new.jsonl").count(b"\n") == 1  # the failed run's history
    assert after == before
    assert gpunn_("train", "digits", *QUICK, "--seed", 1, *REPLACE)[0] == 0
    after = contents("run")
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]


def test_a_full_disk_leaves_the_earlier_run_whole(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0
    before = contents("run")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Network, "save", full)
    assert gpunn_("train", "digits", *QUICK, "--seed", 1, *REPLACE)[0] == 1
    after = contents("run")
    assert after.pop("history.new.jsonl").count(b"\n") == 2
    assert after == before


def test_a_run_deletes_the_files_of_an_earlier_run(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpunn_("train", "digits", *QUICK, "--plot", "--output", "run")[0] == 0
    assert {"curve.png", "report.html", "run.json"} < contents("run").keys()
    monkeypatch.setattr(images.ImageJob, "findings", lambda *_: {}["key"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = gpunn_("train", "digits", *QUICK, *REPLACE)
    assert code == 0
    assert "without a report" in err
    assert sorted(contents("run")) == ["history.jsonl", "model.safetensors"]


def test_only_one_process_trains_in_a_folder(gpunn_: RunCommand, refused: Callable[..., None]) -> None:
    Path("run").mkdir()
    lock = locking.Lock(Path("run", runs.LOCK))
    refused(["train", "digits", *QUICK, "--json", "--output", "run"], "another process is training in run")
    lock.release()
    assert not contents("run")
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0


def test_a_lock_left_by_a_killed_process_is_no_obstacle(gpunn_: RunCommand) -> None:
    Path("run").mkdir()
    Path("run", runs.LOCK).touch()
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0
    assert runs.LOCK not in contents("run")


@pytest.mark.skipif(sys.platform == "win32", reason="replaces a function of POSIX")
def test_a_file_system_without_locks_can_be_trained_on(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0


def test_checkpoints_of_another_run_are_kept(gpunn_: RunCommand, refused: Callable[..., None]) -> None:
    assert gpunn_("train", "digits", *QUICK, "--checkpoint-every", 1, "--output", "run")[0] == 0
    before = Path("run/model.safetensors").read_bytes()
    refused(
        ["train", "digits", *QUICK, "--seed", 1, "--output", "run"],
        "run has the checkpoints of another run",
        "--resume",
    )
    assert Path("run/model.safetensors").read_bytes() == before
    assert gpunn_("train", "--resume", "run")[0] == 0


def test_an_unwritable_output_is_found_before_training(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Network, "fit", lambda *args, **kwargs: pytest.fail("trained"))
    (tmp_path / "file").touch()
    refused(["train", "digits", "--output", "file/run"], "file/run", "--output")
    refused(["train", "digits", "--output", "file"], "file", "--output")
    (tmp_path / "gpunn-runs").touch()
    refused(["train", "digits"], "gpunn-runs", "--output")
    assert sorted(os.listdir(tmp_path)) == ["file", "gpunn-runs"]


def test_a_run_that_cannot_be_written_is_not_resumed(
    gpunn_: RunCommand, refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpunn_("train", "digits", *QUICK, "--checkpoint-every", 1, "--output", "run")[0] == 0

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(writing.tempfile, "TemporaryFile", read_only)
    line = "cannot write to run (Read-only file system): a resumed run is saved in its own folder"
    refused(["train", "--resume", "run"], line)


def test_a_full_disk_is_a_failed_run(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    code, out, err = gpunn_("train", "digits", *QUICK, "--json")
    assert (code, out) == (1, "")
    warned, error = err.splitlines()
    history = "gpunn-runs/digits-1/history.jsonl"
    assert warned == f"gpunn: warning: {history}: No space left on device; training goes on without this log"
    assert error == "gpunn: error: gpunn-runs/digits-1/history.new.jsonl: No space left on device"
    assert os.listdir(tmp_path) == []


def test_a_diverging_run_exits_with_1_and_leaves_nothing(
    refused: Callable[..., None], tmp_path: Path
) -> None:
    rate = ["--learning-rate", "1e30", "--activation", "identity", "--output-activation", "identity"]
    refused(["train", "digits", *QUICK, *rate], "epoch", "smaller learning rate", code=1)
    assert os.listdir(tmp_path) == []
