"""The page of a run without run.json, and paths that a report must not overwrite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import KINDS, RunCommand, history

from gpunn import Dense, Network
from gpunn.report import compare, page, unfinished
from gpunn.report.run import Run
from gpunn.report.unfinished import UnfinishedRun
from gpunn.training.callbacks import write_records


def text_of(folder: Path) -> str:
    unfinished.write(UnfinishedRun.load(folder), folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_run_is_shown_from_its_history_alone(tmp_path: Path) -> None:
    write_records(tmp_path / "history.jsonl", history(12))
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 13, "lo')  # it is being written
    text = text_of(tmp_path)
    assert "12 epochs so far" in text and "loss by epoch" in text and "90.00%" in text
    assert "not finished" in text and 'id="settings"' not in text


def test_a_checkpoint_adds_data_and_settings(tmp_path: Path) -> None:
    meta: dict[str, Any] = {"dataset": "/some/<b>data.csv", "settings": {"epochs": 40, "patience": None}}
    net = Network(3, [Dense(2, "softmax")], seed=0, meta=meta)
    net.fit(np.eye(3), [0, 1, 1], epochs=2, device="cpu", checkpoint=tmp_path / "checkpoints")
    write_records(tmp_path / "history.new.jsonl", history(2))
    write_records(tmp_path / "history.jsonl", history(5))  # of the earlier run
    text = text_of(tmp_path)
    assert "on &lt;b&gt;data.csv" in text and "<dd>40</dd>" in text and "Not used: patience" in text
    assert "2 epochs so far" in text
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    assert 'id="settings"' not in text_of(tmp_path)


def test_no_epoch_is_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").touch()
    assert "0 epochs so far" in text_of(tmp_path)


def test_a_folder_without_a_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has neither run\.json nor history\.jsonl"):
        UnfinishedRun.load(tmp_path)
    with pytest.raises(ValueError, match="nowhere does not exist"):
        UnfinishedRun.load(tmp_path / "nowhere")
    (tmp_path / "history.jsonl").write_text("{}\n{}\n")
    with pytest.raises(ValueError, match=r"history\.jsonl, line 1: not the record"):
        UnfinishedRun.load(tmp_path)


def test_a_report_does_not_overwrite_the_run(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpunn_("train", *KINDS["images"], "--output", tmp_path / "run", "--checkpoint-every", "3")[0] == 0
    run, other = Run.load(tmp_path / "run"), Run.load(runs / "images")
    (tmp_path / "link").symlink_to(tmp_path / "run" / "run.json")
    for path in [*run.files, tmp_path / "link"]:
        before = path.read_bytes()
        writes: list[Callable[[], None]] = [
            lambda path=path: page.write(run, path),
            lambda path=path: compare.write([other, run], path),
        ]
        for write in writes:
            with pytest.raises(
                ValueError, match=r"would overwrite .* which is an input: choose another path"
            ):
                write()
        code, _, err = gpunn_("report", tmp_path / "run", "--output", path)
        assert code == 2 and "would overwrite" in err and path.read_bytes() == before
