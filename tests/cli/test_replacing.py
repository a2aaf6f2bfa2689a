"""Nothing is replaced that nobody asked to replace: runs, inputs, and files of others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import QUICK, contents
from reporting import RunCommand

TABLE = "a,y\n" + "".join(f"{k % 7},{'no' if k < 10 else 'yes'}\n" for k in range(20))


@pytest.fixture
def table_run(gpunn_: RunCommand) -> Path:
    """A run on a small table, which is in t.csv."""
    Path("t.csv").write_text(TABLE)
    arguments = ["t.csv", "--target", "y", "--epochs", "1", "--device", "cpu", "--output", "run"]
    assert gpunn_("train", *arguments)[0] == 0
    return Path("run")


def test_a_run_is_replaced_only_if_asked(gpunn_: RunCommand, refused: Callable[..., None]) -> None:
    train = ["train", "digits", *QUICK, "--output", "run"]
    assert gpunn_(*train)[0] == 0
    before = contents("run")
    refused([*train, "--seed", 1], "run holds another run", "--output", "--overwrite")
    os.symlink("run", "alias")
    refused(["train", "digits", *QUICK, "--output", "alias"], "alias holds another run")
    assert contents("run") == before
    assert gpunn_(*train, "--seed", 1, "--overwrite")[0] == 0
    assert contents("run")["model.safetensors"] != before["model.safetensors"]


def test_a_run_with_checkpoints_is_replaced_whole(gpunn_: RunCommand, refused: Callable[..., None]) -> None:
    train = ["train", "digits", *QUICK, "--output", "run", "--checkpoint-every", 1]
    assert gpunn_(*train)[0] == 0
    refused([*train, "--seed", 1], "run has the checkpoints of another run", "--resume", "--overwrite")
    assert gpunn_("train", "digits", *QUICK, "--output", "run", "--overwrite")[0] == 0
    assert not Path("run/checkpoints").exists()


def test_a_run_that_saved_no_model_is_no_obstacle(gpunn_: RunCommand) -> None:
    Path("run").mkdir()
    Path("run/history.jsonl").write_text('{"epoch": 1, "loss": 1.0}\n')
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
        ("model.safetensors", b"\xff" * 100),
        ("model.safetensors", b""),
        ("history.jsonl", b"my notes"),
        ("run.json", b'{"format": "mine"}'),
        ("report.html", b"<p>mine"),
        ("curve.png", b"mine"),
    ],
)
def test_a_file_that_gpunn_did_not_write_is_never_replaced(
    refused: Callable[..., None], name: str, content: bytes
) -> None:
    Path("run").mkdir()
    Path("run", name).write_bytes(content)
    for overwrite in ([], ["--overwrite"]):
        refused(["train", "digits", *QUICK, "--output", "run", *overwrite], f"run/{name} was not written by")
    assert contents("run") == {name: content}


def test_predictions_do_not_replace_the_table(
    gpunn_: RunCommand, refused: Callable[..., None], table_run: Path
) -> None:
    os.symlink("t.csv", "symbolic.csv")
    os.link("t.csv", "hard.csv")
    for output in ("t.csv", "./t.csv", "symbolic.csv", "hard.csv"):
        line = f"{Path(output)} would overwrite t.csv"
        refused(["predict", table_run, "t.csv", "-o", output], line, "--overwrite")
    assert Path("t.csv").read_text() == TABLE
    assert gpunn_("predict", table_run, "t.csv", "-o", "t.csv", "--overwrite")[0] == 0
    assert Path("t.csv").read_text().startswith("prediction,")


def test_predictions_do_not_replace_the_model(refused: Callable[..., None], table_run: Path) -> None:
    for overwrite in ([], ["--overwrite"]):
        arguments = ["predict", table_run, "t.csv", "-o", "run/model.safetensors", *overwrite]
        refused(arguments, "run/model.safetensors would overwrite run/model.safetensors")


def test_predictions_replace_earlier_predictions(gpunn_: RunCommand, table_run: Path) -> None:
    for _ in range(2):
        assert gpunn_("predict", table_run, "t.csv", "-o", "p.csv")[0] == 0
    assert Path("p.csv").read_text().count("\n") == 21


def test_a_report_does_not_replace_its_run(refused: Callable[..., None], table_run: Path) -> None:
    for name in ("model.safetensors", "run.json", "history.jsonl"):
        refused(["report", table_run, "--output", table_run / name], f"run/{name} would overwrite run/{name}")
    assert json.loads((table_run / "run.json").read_text())["format"] == "gpunn-run"


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
@pytest.mark.parametrize("output", ["loop", "loop/run"])
def test_a_loop_of_symbolic_links_is_refused(refused: Callable[..., None], output: str) -> None:
    os.symlink("loop", "loop")
    refused(["train", "digits", *QUICK, "--output", output], f"cannot write to {output}", "--output")
    refused(["report", output], output)
