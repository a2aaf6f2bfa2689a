"""Callbacks: they see the network's current weights, and they write complete files."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend

from gpunn import Network, Record
from gpunn.training.callbacks import JsonLines, TensorBoard

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((4, 30)), RNG.integers(0, 3, 30)


def test_the_network_has_the_weights_of_the_epoch(backend: MakeBackend) -> None:
    net, seen = Network([4, 3], seed=0), []
    net.fit(X, Y, epochs=3, on_epoch_end=lambda record: seen.append(net.weights[0].copy()))
    assert len(seen) == 3
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], net.weights[0])


def test_callbacks_are_called_in_order_and_true_ends_training() -> None:
    seen: list[tuple[str, int]] = []
    history = Network([4, 3], seed=0).fit(
        X,
        Y,
        epochs=9,
        on_epoch_end=[lambda r: r.epoch == 2, lambda r: seen.append(("second", r.epoch))],
    )
    assert seen == [("second", 1), ("second", 2)]
    assert (len(history), history.stopped) == (2, "callback")


def test_ending_training_leaves_a_checkpoint(tmp_path: Path) -> None:
    net = Network([4, 3], seed=0)
    net.fit(X, Y, epochs=9, checkpoint=tmp_path, checkpoint_every=5, on_epoch_end=lambda r: r.epoch == 2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000002.safetensors"]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_are_written_after_every_epoch(tmp_path: Path) -> None:
    path, seen = tmp_path / "history.jsonl", []
    history = Network([4, 3], seed=0).fit(
        X, Y, epochs=3, on_epoch_end=[JsonLines(path), lambda r: seen.append(len(lines(path)))]
    )
    assert seen == [1, 2, 3]
    assert [Record(**line) for line in lines(path)] == history.records


def test_json_lines_continue_with_a_resumed_run(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    run = {"epochs": 6, "checkpoint": tmp_path / "checkpoints", "checkpoint_every": 2}
    Network([4, 3], seed=0).fit(X, Y, **run, on_epoch_end=[JsonLines(path), lambda r: r.epoch == 3])
    for file in sorted((tmp_path / "checkpoints").iterdir())[1:]:
        file.unlink()  # as if epoch 3 had not been saved
    with path.open("a") as file:
        file.write('{"epoch": 4, "loss": 0.')  # what a killed process leaves
    Network([4, 3], seed=0).fit(X, Y, **run, resume=True, on_epoch_end=JsonLines(path))
    assert [line["epoch"] for line in lines(path)] == [1, 2, 3, 4, 5, 6]


def test_json_lines_of_another_run_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for epochs in (3, 2):
        Network([4, 3], seed=0).fit(X, Y, epochs=epochs, on_epoch_end=JsonLines(path))
    assert [line["epoch"] for line in lines(path)] == [1, 2]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_tensorboard_file_is_valid(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    board = TensorBoard(tmp_path)
    history = Network([4, 3], seed=0).fit(X, Y, epochs=2, on_epoch_end=board)
    (file,) = tmp_path.iterdir()
    content, at, found = file.read_bytes(), 0, {}
    while at < len(content):  # length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(content[at : at + 8], "little")
        message, end = content[at + 12 : at + 12 + length], at + 12 + length
        for checked, place in ((content[at : at + 8], at + 8), (message, end)):
            assert masked_crc32c(checked) == int.from_bytes(content[place : place + 4], "little")
        event = Event.FromString(message)
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        at += 16 + length
    for record in history:
        for name, value in asdict(record).items():
            if name != "epoch" and value is not None:
                assert found[name, record.epoch] == pytest.approx(value, rel=1e-6)
    assert ("validation_loss", 1) not in found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_full_disk_leaves_no_partial_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    from gpunn.files import writing
    from gpunn.training import callbacks

    real = os.fsync

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    record = Record(1, 0.5, None, None, None, 1.0, 2.0)
    for name, watch in (("h", JsonLines(tmp_path / "h")), ("tfevents", TensorBoard(tmp_path))):
        monkeypatch.setattr(writing.os, "fsync", full)
        with pytest.raises(OSError, match=f"No space left.*{name}"):
            watch(record)
        assert not [path for path in tmp_path.iterdir() if name in path.name]
        monkeypatch.setattr(writing.os, "fsync", real)
        watch(record)
        (path,) = (path for path in tmp_path.iterdir() if name in path.name)
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(callbacks.Path, "open", Full.open)
            with pytest.raises(OSError, match=f"No space left.*{name}"):
                watch(record)
        assert path.read_bytes() == before


class Full(io.FileIO):
    """A file on a disk with room for three more bytes."""

    def open(self: Path, *_: object) -> Full:
        return Full(self, "a")

    def write(self, content: Any) -> int:
        super().write(content[:3])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_missing_tensorboardx_is_an_error_that_says_what_to_install() -> None:
    code = """
import sys
sys.modules["tensorboardX"] = None
from gpunn.training.callbacks import TensorBoard
try:
    TensorBoard("x")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "gpunn[tensorboard]"' in done.stdout
