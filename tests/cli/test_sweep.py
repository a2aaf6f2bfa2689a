"""`gpunn sweep`: what it trains, writes and refuses, and how it goes on."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import RunCommand

from gpunn import Ensemble, Network
from gpunn.cli import display, grids, sweeping
from gpunn.report.sweep_figures import written
from gpunn.sweeps.members import Member
from gpunn.sweeps.progress import NetworkEnd
from gpunn.sweeps.scoring import Metric

SWEEP = ["sweep", "digits", "--hidden", "8", "--epochs", "2", "--device", "cpu"]
GRID = ["--grid", "learning_rate=0.03,0.1", "l2=0,1e-3", "--seeds", "2"]


def rows(folder: str) -> list[dict[str, str]]:
    with Path(folder, "sweep.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_writes_its_table_page_and_best_run(gpunn_: RunCommand) -> None:
    code, out, err = gpunn_(*SWEEP, *GRID, "--output", "found")
    assert code == 0
    assert "8/8 networks" in err
    assert "best of 8 networks: learning_rate" in out
    assert ", the mean of 2 networks\n" in out
    assert "table found/sweep.csv\npage found/sweep.html" in out
    found = rows("found")
    tried = {(row["learning_rate"], row["l2"], row["seed"]) for row in found}
    assert tried == {(a, b, c) for a in ("0.03", "0.1") for b in ("0", "0.001") for c in ("0", "1")}
    page = Path("found/sweep.html").read_text()
    assert "<h1>8 networks <span>on digits</span></h1>" in page
    assert page.count("<svg") == 3
    assert re.search(r'<a href="best/report.html">test accuracy \d\d\.\d\d%</a>', page)
    assert Path("found/best/report.html").exists()
    command = json.loads(Path("found/best/run.json").read_text())["command"]
    assert command.startswith("gpunn train digits --hidden 8 --epochs 2 --device cpu --learning-rate 0.")
    assert "--grid" not in command
    assert "--seeds" not in command
    assert gpunn_("evaluate", "found/best", "digits")[0] == 0


def test_the_command_in_the_best_run_trains_it_again(gpunn_: RunCommand) -> None:
    grid = ["--grid", "hidden=8-4,0", "batch_norm=true,false", "activation=tanh"]
    gpunn_(*SWEEP, *grid, "--output", "found", "--json")
    words = json.loads(Path("found/best/run.json").read_text())["command"].split()
    assert gpunn_(*words[1:], "--output", "again")[0] == 0
    best, again = Network.load("found/best"), Network.load("again")
    assert best.theta.tobytes() == again.theta.tobytes()


def test_a_sweep_goes_on_after_ctrl_c(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(display.SweepDisplay):
        def __call__(self, end: NetworkEnd) -> None:
            if end.done == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "SweepDisplay", Impatient)
        code, out, _ = gpunn_(*SWEEP, *GRID, "--output", "found")
    assert code == 130
    assert "interrupted after 3 of 8 networks; " in out
    assert "gpunn sweep --resume found" in out
    kept = {path: path.stat().st_mtime_ns for path in Path("found/networks").glob("network-*")}
    assert len(kept) == 3
    code, out, _ = gpunn_("sweep", "--resume", "found", "--json")
    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {row["status"] for row in rows("found")} == {"done"}
    gpunn_(*SWEEP, *GRID, "--output", "whole", "--json")
    assert Network.load("found/best").theta.tobytes() == Network.load("whole/best").theta.tobytes()
    assert json.loads(out)["score"] == max(
        np.mean([float(row["validation_accuracy"]) for row in rows("whole")[k : k + 2]]) for k in (0, 2, 4, 6)
    )


def test_folds_draws_and_halving(gpunn_: RunCommand) -> None:
    options = ["--grid", "learning_rate=0.01..0.3", "--draws", 3, "--folds", 2, "--halving", 3, "--epochs", 6]
    code, out, err = gpunn_(*SWEEP, *options, "--output", "found", "--json")
    assert (code, err) == (0, "")
    found = rows("found")
    assert {row["fold"] for row in found} == {"0", "1"}
    assert [row["status"] for row in found].count("dropped") == 4
    rates = [float(row["learning_rate"]) for row in found]
    assert len(set(rates)) == 3
    assert 0.01 <= min(rates) < max(rates) <= 0.3
    assert json.loads(out)["best"]["train_examples"] == 1437


def test_drawn_numbers_have_no_heat_map(gpunn_: RunCommand) -> None:
    options = ["--grid", "learning_rate=0.01..0.3", "batch_size=32,64", "--draws", 4]
    assert gpunn_(*SWEEP, *options, "--epochs", 1, "--output", "found")[0] == 0
    page = Path("found/sweep.html").read_text()
    assert "Settings and score" in page and "Learning rate and batch size" not in page


def test_a_table(gpunn_: RunCommand) -> None:
    X = np.random.default_rng(0).normal(size=(80, 2))
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{a + 2 * b:.4f}" for a, b in X)]
    Path("sum.csv").write_text("\n".join(lines))
    grid = ["--grid", "learning_rate=0.01,1e9", "--epochs", 2, "--device", "cpu"]
    code, out, _ = gpunn_("sweep", "sum.csv", "--target", "y", *grid)
    assert code == 0
    assert re.search(r"best of 2 networks: learning_rate 0.01: validation loss \S+\n", out)
    assert "\n1 network diverged; network 1: the cost became" in out
    assert [row["status"] for row in rows("gpunn-runs/sum-sweep-1")] == ["done", "diverged"]
    page = Path("gpunn-runs/sum-sweep-1/sweep.html").read_text()
    assert "1 network trained" in page and "1 diverged or failed" in page and "1e+09" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grid", "lr=1"], "--grid lr=1: unknown setting 'lr': did you mean 'learning_rate'?"),
        (
            ["--grid", "cost=mae"],
            "--grid cost=mae: cost cannot vary in a sweep: pass --cost for all networks",
        ),
        (["--grid", "seed=1,2"], "--grid seed=1,2: --seeds N trains every combination with N random seeds"),
        (["--grid", "l2"], "--grid l2: write NAME=VALUE,VALUE,…, such as learning_rate=0.5,1,3"),
        (["--grid", "l2=1", "l2=2"], "--grid l2=2: l2 is given twice"),
        (["--grid", "l2=0..1"], "--grid l2=0..1: a range needs --draws"),
        (["--grid", "l2=1..0", "--draws", 2], "--grid l2=1..0: a range is LOW..HIGH"),
        (["--grid", "hidden=8x4"], "--grid hidden=8x4: write the sizes of the layers as in 128-64"),
        (["--grid", "optimizer=sgdd"], "unknown optimizer 'sgdd': did you mean 'sgd'?"),
        (["--grid", "l2=0,nan"], "--grid l2=0,nan: 'nan' is not a value of l2"),
        (["--folds", 2000], "folds=2000 needs at least 2,000 examples, but there are 1,437"),
        (["--cv", 3], "--cv"),
        (["--resume", "nothing"], "--resume continues a sweep with its own settings: leave out the data"),
    ],
)
def test_refused(refused: Callable[..., None], options: list[Any], message: str) -> None:
    refused([*SWEEP, *options], message)
    assert not Path("gpunn-runs").exists()


def test_a_folder_that_holds_a_sweep(gpunn_: RunCommand, refused: Callable[..., None]) -> None:
    gpunn_(*SWEEP, "--output", "found")
    before = Path("found/sweep.csv").read_bytes()
    refused([*SWEEP, "--output", "found"], "found holds a sweep: continue it with --resume found")
    assert Path("found/sweep.csv").read_bytes() == before
    refused(["sweep", "--resume", "elsewhere"], "elsewhere has no sweep.json")
    left = Path("found/networks/.network-1.safetensors.0123abcd.tmp")
    left.touch()
    assert gpunn_("sweep", "--resume", "found")[0] == 0 and not left.exists()
    kept = Path("found/sweep.json").read_text()
    Path("found/sweep.json").write_text(kept.replace('"epochs": 2', '"epochs": -2'))
    refused(["sweep", "--resume", "found"], "found/sweep.json: epochs must be a whole number")
    Path("found/sweep.json").write_text("{")
    refused(["sweep", "--resume", "found"], "found has no sweep.json that could be read")


def test_settings_are_written_in_few_characters() -> None:
    values = (1e30, 0.0153352, 1e-5, 0.1, 128, 12345, True, None, "relu")
    expected = ["1e+30", "0.0153", "1e-5", "0.1", "128", "12,345", "True", "none", "relu"]
    assert [written(value) for value in values] == expected


def test_ranges() -> None:
    grid = grids.parse(["batch-size=5..20", "l2=1e-5..1e-2", "dropout=0..0.5"], drawn=True)
    assert {name: (d.dist.name, d.support()) for name, d in grid.items()} == {
        "batch_size": ("randint", (5, 20)),
        "l2": ("loguniform", (1e-5, 1e-2)),
        "dropout": ("uniform", (0.0, 0.5)),
    }


def test_the_live_table_has_the_best_networks() -> None:
    shown = display.SweepDisplay(quiet=False)
    assert shown.lines  # stderr is no terminal here
    for k, score in enumerate([0.5, float("nan"), 0.9, 0.7]):
        member = Member(k, k, {"hidden": (k, 2)}, seed=k, fold=None)
        shown(NetworkEnd(member, "done", score, k + 1, 4, 100, 0.1, Metric("validation_accuracy")))
    columns = {str(column.header): list(column.cells) for column in shown.table().columns}
    assert columns["network"] == ["2", "3", "0"]
    assert columns["hidden"] == ["2-2", "3-2", "0-2"]
    assert columns["validation accuracy"] == ["0.9", "0.7", "0.5"]
    assert "fold" not in columns


def test_the_best_settings_may_train_an_ensemble(gpunn_: RunCommand) -> None:
    code, out, _ = gpunn_(*SWEEP, "--grid", "learning_rate=0.1", "--ensemble", 2, "--output", "found")
    assert code == 0
    assert "gpunn demo" not in out
    assert Ensemble.load("found/best").name == "2 × 64-8-10"
    assert "--ensemble 2" in json.loads(Path("found/best/run.json").read_text())["command"]
