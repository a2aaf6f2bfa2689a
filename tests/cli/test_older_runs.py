"""Runs of earlier versions can be resumed, tested, used and reported.

`data/0.1.0` was made by version 0.1.0 with these commands, where `flowers.csv` was in /tmp/runs:

    gpunn train digits --hidden 4 --epochs 4 --checkpoint-every 1 --device cpu --output digits
    gpunn train flowers.csv --target species --hidden 4 --epochs 4 --patience 0 --checkpoint-every 1 \
        --device cpu --batch-size 8 --output flowers

The processes of the runs named `-interrupted` were killed in epoch 3.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import change_metadata
from reporting import RunCommand
from safetensors import safe_open

from gpunn import Network
from gpunn.cli import training
from gpunn.tables.options import TableOptions
from gpunn.training import checkpoint_files
from gpunn.training.option import from_kept
from gpunn.training.settings import Settings

DATA = Path(__file__).parent / "data" / "0.1.0"


@pytest.fixture(autouse=True)
def older_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the runs to the working directory, and let them find their table there instead of in /tmp/runs."""
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    model = tmp_path / "flowers" / "model.safetensors"
    with safe_open(model, "numpy") as file:
        meta = file.metadata()["meta"].replace("/tmp/runs", str(tmp_path))
    change_metadata(model, model, meta=meta)

    def newest(folder: Path) -> Any:
        saved = checkpoint_files.newest(folder)
        assert saved
        saved.state["meta"]["dataset"] = saved.state["meta"]["dataset"].replace("/tmp/runs", str(tmp_path))
        return saved

    monkeypatch.setattr(training, "newest", newest)


@pytest.mark.parametrize("run", ["digits", "flowers"])
def test_an_older_run_is_resumed(gpunn_: RunCommand, run: str) -> None:
    code, out, err = gpunn_("train", "--resume", f"{run}-interrupted", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["epochs"] == 4
    assert result["settings"].keys() >= asdict(Settings()).keys()
    for resumed, expected in zip(
        Network.load(f"{run}-interrupted").weights, Network.load(run).weights, strict=True
    ):
        np.testing.assert_allclose(resumed, expected, atol=1e-4)


@pytest.mark.parametrize(("run", "data"), [("digits", "digits"), ("flowers", "flowers.csv")])
def test_an_older_model_is_evaluated(gpunn_: RunCommand, run: str, data: str) -> None:
    code, out, err = gpunn_("evaluate", run, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["accuracy"] == Network.load(run).meta["test_accuracy"]
    assert gpunn_("evaluate", run, data)[0] == 0


def test_an_older_model_predicts(gpunn_: RunCommand) -> None:
    np.save("x.npy", np.zeros((64, 3), np.uint8))
    code, out, err = gpunn_("predict", "digits", "x.npy")
    assert (code, err, out.count("\n")) == (0, "", 3)
    code, out, err = gpunn_("predict", "flowers", "flowers.csv")
    assert (code, out.count("\n")) == (0, 41)
    assert err.startswith("gpunn: the target 'species' is not used to predict")


def test_older_runs_are_reported(gpunn_: RunCommand) -> None:
    for runs in (["digits"], ["flowers"], ["digits", "flowers"]):
        code, out, err = gpunn_("report", *runs)
        assert (code, err) == (0, "")
        assert Path(out.removeprefix("report ").strip()).stat().st_size > 10_000


@pytest.mark.parametrize("record", [Settings, TableOptions])
def test_a_dropped_setting_is_ignored_and_a_new_one_has_its_default(record: type) -> None:
    assert from_kept(record, {"abandoned": 1}) == record()
    kept = asdict(record())  # type: ignore[call-overload]
    assert from_kept(record, {**kept, "abandoned": 1}) == record()
