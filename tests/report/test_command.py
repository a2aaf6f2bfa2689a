"""`gpunn report`: rewriting a report, comparing runs, and bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from reporting import KINDS, RunCommand, history, kept

from gpunn.training import callbacks

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_rewritten_identically(
    runs: Path, gpunn_: RunCommand, no_window: list[str], kind: str
) -> None:
    path = runs / kind / "report.html"
    first = path.read_bytes()
    path.unlink()
    assert gpunn_("report", f"gpunn-runs/{kind}") == (0, f"report gpunn-runs/{kind}/report.html\n", "")
    assert path.read_bytes() == first
    assert no_window == [path.as_uri()]
    code, out, _ = gpunn_("report", runs / kind / "model.safetensors", "--output", "deep/r.html", "--json")
    assert code == 0 and json.loads(out) == {"report": "deep/r.html", "runs": [str(runs / kind)]}
    assert Path("deep/r.html").read_bytes() == first
    assert len(no_window) == 1


def test_the_best_run_comes_first(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    more = {"sgd": ["--optimizer", "sgd", "--learning-rate", "0.001"], "longer": ["--epochs", "9"]}
    for name, options in more.items():
        options = [*KINDS["images"], *options, "--device", "cpu", "--output", tmp_path / name]
        assert gpunn_("train", *options)[0] == 0
    code, out, err = gpunn_("report", runs / "images", tmp_path / "sgd", tmp_path, "--json")
    assert (code, err) == (0, "")
    names = [Path(run).name for run in json.loads(out)["runs"]]
    assert names == ["longer", "images", "sgd"]
    text = Path("gpunn-runs/comparison.html").read_text(encoding="utf-8")
    places = [text.index(f"/{name}</th>") for name in names]
    assert places == sorted(places)
    differing = re.findall(r"<th>([^<]*)</th>", text[text.index('id="settings"') :].split("</thead>")[0])
    assert differing == ["optimizer", "learning rate", "epochs"]


def test_classification_and_regression_are_separate_on_one_page(runs: Path, gpunn_: RunCommand) -> None:
    code, out, err = gpunn_("report", "gpunn-runs", "--json", "--output", "all.html")
    assert (code, err) == (0, "")
    names = [Path(run).name for run in json.loads(out)["runs"]]
    assert sorted(names) == sorted(KINDS) and names[-1] == "numbers"
    text = Path("all.html").read_text(encoding="utf-8")
    by_accuracy, by_rmse = text.split("Results by RMSE")
    assert "Results by accuracy" in by_accuracy and "The best run by RMSE is numbers, " in by_accuracy
    assert f"The best run by accuracy is {names[0]}, " in by_accuracy
    rows = [
        re.findall(r"</i>([^<]*)</th>", part.split("</section>")[0]) for part in text.split("<h2>Results")
    ]
    assert rows[1:] == [names[:3], ["numbers"]]
    assert "<th>RMSE</th>" not in by_accuracy and "<th>test RMSE</th>" in by_rmse
    ids = re.findall(r'<section id="([^"]*)"', text)
    assert len(set(ids)) == len(ids) == 5  # a single run has no differences


def test_runs_with_equal_settings_have_no_differences(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    for name in "ab":
        assert gpunn_("train", *KINDS["images"], "--output", tmp_path / name)[0] == 0
    assert gpunn_("report", tmp_path, "--no-browser", "--output", tmp_path / "c.html")[0] == 0
    assert "all runs were trained with the same settings" in (tmp_path / "c.html").read_text(encoding="utf-8")


@pytest.fixture
def refused(gpunn_: RunCommand) -> Callable[..., str]:
    """Run `gpunn report`, which must fail with one line, and return that line."""

    def refused(*arguments: object) -> str:
        code, out, err = gpunn_("report", *arguments)
        assert (code, out) == (2, "") and err.startswith("gpunn: error: ") and err.count("\n") == 1
        return err

    return refused


@pytest.fixture
def damaged(runs: Path, refused: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Replace or delete a file in a copy of a run, and return the error after the folder's name."""

    def damaged(name: str, content: bytes | None) -> str:
        folder = tmp_path / f"damaged-{len(os.listdir(tmp_path))}"
        folder.mkdir()
        for file in (runs / "images").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        return refused(folder).removeprefix(f"gpunn: error: {folder}")

    return damaged


def test_a_missing_run_is_one_line(runs: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    assert "nowhere does not exist" in refused("nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty is not the folder of a run: it has no run.json" in refused(tmp_path / "empty")
    assert "fruit.csv is not a folder: pass the folder of a run" in refused("fruit.csv")
    assert "RUN" in refused()


def test_a_damaged_run_is_one_line(damaged: Callable[..., str]) -> None:
    assert "history.jsonl" in damaged("history.jsonl", None)
    assert damaged("history.jsonl", b'{"epoch": 1}\n').startswith("/history.jsonl, line 1: ")
    assert damaged("run.json", b"\xff{").startswith("/run.json is damaged: ")
    assert damaged("run.json", b"[]").startswith("/run.json was not written by gpunn train")
    assert "model.safetensors" in damaged("model.safetensors", b"")


def test_a_damaged_result_is_one_line(runs: Path, damaged: Callable[..., str]) -> None:
    whole = kept(runs / "images")
    scoreless = {name: value for name, value in whole["result"].items() if name != "test_accuracy"}
    unset = {**whole["result"], "settings": {}}
    rows = {**whole["findings"], "confusion": whole["findings"]["confusion"][1:]}
    wrong = [{"version": 9}, {"result": {}}, {"result": scoreless}, {"result": unset}, {"versions": {}}]
    wrong += [{"command": None}, {"findings": {"mistakes": 1}}, {"findings": rows}]
    for changes in wrong:
        assert "/run.json" in damaged("run.json", json.dumps(whole | changes).encode())


def test_a_changed_digit_is_one_line(
    runs: Path, damaged: Callable[..., str], gpunn_: RunCommand, tmp_path: Path
) -> None:
    whole = kept(runs / "images")
    line = "run.json or history.jsonl is damaged: their content does not match their digest"
    other = whole | {"ended": whole["ended"].replace("20", "30", 1)}
    assert line in damaged("run.json", json.dumps(other).encode())
    text = (runs / "images" / "history.jsonl").read_text()
    assert line in damaged("history.jsonl", text.replace('"accuracy": 0.', '"accuracy": 0.0', 1).encode())
    shutil.copytree(runs / "images", tmp_path / "older")
    del other["digest"]  # as gpunn 0.1.0 wrote it
    (tmp_path / "older" / "run.json").write_text(json.dumps(other))
    assert gpunn_("report", tmp_path / "older", "--no-browser")[0] == 0


def test_mixed_runs_are_one_line(runs: Path, damaged: Callable[..., str]) -> None:
    assert "belong to different runs" in damaged("run.json", (runs / "classes" / "run.json").read_bytes())
    assert "history.jsonl belong to different" in damaged(
        "history.jsonl", (runs / "numbers" / "history.jsonl").read_bytes()
    )
    lines = (runs / "images" / "history.jsonl").read_bytes().splitlines(keepends=True)
    assert "history.jsonl belong to different" in damaged("history.jsonl", b"".join(lines[:-1]))
    assert "line 1: not the record of an epoch: epoch 3 is out of order" in damaged(
        "history.jsonl", b"".join(lines[::-1])
    )


def test_records_round_trip_through_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write = callbacks.JsonLines(path)
    for record in history(3, validation_score=0.5):
        write(record)
    assert callbacks.read_records(path) == history(3, validation_score=0.5).records
