"""`gpunn report` of runs that are training at this moment or were killed."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import QUICK
from reporting import RunCommand, history

from gpunn.cli import locking, runs
from gpunn.training.callbacks import write_records

LAST = "(loss 0.3333, accuracy 90.00%, validation loss 0.5000, validation accuracy 80.00%)"


def begin(name: str, epochs: int) -> Path:
    folder = Path(name)
    folder.mkdir()
    write_records(folder / runs.HISTORY, history(epochs))
    return folder


def test_a_running_run_says_how_far_it_is(gpunn_: RunCommand) -> None:
    lock = locking.Lock(begin("run", 3) / runs.LOCK)
    code, out, err = gpunn_("report", "run")
    assert (code, err) == (0, "")
    assert out == f"run: running, 3 epochs so far {LAST}\nreport run/report.html\n"
    lock.release()


def test_a_killed_run_says_how_far_it_came(gpunn_: RunCommand) -> None:
    with (begin("run", 3) / runs.HISTORY).open("a") as file:
        file.write('{"epoch": 4, "lo')  # killed while writing this line
    assert gpunn_("report", "run")[:2] == (0, f"run: stopped after 3 epochs {LAST}\nreport run/report.html\n")
    assert "3 epochs" in Path("run/report.html").read_text(encoding="utf-8")
    Path("run/checkpoints").mkdir()
    assert "; continue it with gpunn train --resume run\n" in gpunn_("report", "run")[1]


def test_a_run_killed_in_its_first_epoch_is_reported(gpunn_: RunCommand) -> None:
    begin("run", 0)
    assert gpunn_("report", "run")[:2] == (0, "run: stopped after 0 epochs\nreport run/report.html\n")


def test_unfinished_runs_are_left_out_of_a_comparison(gpunn_: RunCommand) -> None:
    for name in ("a", "b"):
        assert gpunn_("train", "digits", *QUICK, "--output", f"all/{name}")[0] == 0
    begin("all/c", 3)
    code, out, _ = gpunn_("report", "all")
    assert code == 0
    assert out == f"all/c: stopped after 3 epochs {LAST}\nreport gpunn-runs/comparison.html\n"
    found = json.loads(gpunn_("report", "all", "--json")[1])
    assert sorted(found["runs"]) == ["all/a", "all/b"]
    assert found["unfinished"] == ["all/c"]


def test_several_unfinished_runs_have_no_page(gpunn_: RunCommand) -> None:
    begin("a", 3)
    begin("b", 3)
    code, out, _ = gpunn_("report", "a", "b")
    assert (code, out) == (0, f"a: stopped after 3 epochs {LAST}\nb: stopped after 3 epochs {LAST}\n")
    assert json.loads(gpunn_("report", "a", "b", "--json")[1])["report"] is None
