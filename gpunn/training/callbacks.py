"""Watching a training: what `Network.fit` may call after every epoch, with the epoch's record.

Any function of a `Record` will do, and training ends where it returns True:

>>> net = gpunn.Network([2, 3, 1], seed=0)
>>> history = net.fit(np.eye(2), [0, 1], epochs=50, on_epoch_end=lambda record: record.epoch == 3)
>>> len(history), history.stopped
(3, 'callback')
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpunn.files.writing import write_whole
from gpunn.training.history import Record

__all__ = ["JsonLines", "TensorBoard"]


class JsonLines:
    """Writes each record as a line of JSON as soon as its epoch is done.

    Lines that the file has of earlier epochs stay and those of later ones go, so a training that goes on
    after a break goes on with its file.

    Args:
        path: of the file.

    Raises:
        OSError: at the first epoch, where the path cannot be written.

    >>> net, watch = gpunn.Network([2, 3, 1], seed=0), gpunn.callbacks.JsonLines("history.jsonl")
    >>> history = net.fit(np.eye(2), [0, 1], epochs=2, on_epoch_end=watch)
    >>> len(watch.path.read_text().splitlines())
    2
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.begun = Path(path), False

    def __call__(self, record: Record) -> None:
        if not self.begun:
            kept = [line for line in self._lines() if _epoch(line) < record.epoch]
            write_whole(self.path, "".join([*kept, _line(record)]).encode())
            self.begun = True
        else:
            _append(self.path, _line(record).encode())

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []


def _append(path: Path, content: bytes) -> None:
    """Make a file longer, or leave it as it was. OSError, with its name, where that cannot be."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def _epoch(line: str) -> float:
    """Which epoch a line is of; none, for a line that a killed process left half-written."""
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """All of them at once, as `JsonLines` does; whole or not at all."""
    write_whole(path, "".join(map(_line, records)).encode())


def read_records(path: Path) -> list[Record]:
    """What `JsonLines` wrote. ValueError, with the line, for anything else."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            records.append(Record(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not an epoch's record: {error}") from None
    return records


class TensorBoard:
    """Writes each record's figures into a folder for TensorBoard, as soon as its epoch is done.

    tensorboardX makes the messages. Its own writer is a thread, which dies of a full disk with training
    waiting for it, and which Python from 3.12 on does not let finish: a file needs none of that.

    Args:
        folder: which `tensorboard --logdir` is then given.

    Raises:
        ImportError: tensorboardX is missing; the message says what to install.
        OSError: at an epoch, where the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise ImportError('TensorBoard needs tensorboardX: pip install "gpunn[tensorboard]"') from error
        self.folder = Path(folder)
        self.path: Path | None = None

    def __call__(self, record: Record) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        figures = {name: value for name, value in asdict(record).items() if name != "epoch"}
        values = [Summary.Value(tag=n, simple_value=v) for n, v in figures.items() if v is not None]
        event = Event(wall_time=time.time(), step=record.epoch, summary=Summary(value=values))
        if self.path:
            _append(self.path, _framed(event))
            return
        begin = Event(wall_time=time.time(), file_version="brain.Event:2")
        path = self.folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _framed(begin) + _framed(event))
        self.path = path


def _framed(event: Any) -> bytes:
    """A message as TensorBoard's files have it: its length, the message, and a checksum of each."""
    from tensorboardX.record_writer import masked_crc32c

    message = event.SerializeToString()
    length = struct.pack("<Q", len(message))
    return b"".join(
        [length, struct.pack("<I", masked_crc32c(length)), message, struct.pack("<I", masked_crc32c(message))]
    )
