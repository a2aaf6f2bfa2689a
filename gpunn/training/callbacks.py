"""Callbacks: functions that `Network.fit` calls after every epoch, with the epoch's record.

Any function of a `Record` will do. Training ends if it returns True:

>>> net = gpunn.Network([2, 3, 1], seed=0)
>>> history = net.fit(np.eye(2), [0, 1], epochs=50, on_epoch_end=lambda record: record.epoch == 3)
>>> len(history), history.stopped
(3, 'callback')
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpunn.files.strict_json import dump_json, explain_mismatch, null_if_not_finite, parse_json
from gpunn.files.writing import write_whole
from gpunn.training.history import Record

__all__ = ["JsonLines", "TensorBoard"]


class JsonLines:
    """Write each record as a line of JSON as soon as its epoch is done.

    Of an existing file, the lines of earlier epochs are kept and all others removed. A resumed run therefore
    continues its file. A number that is not finite is written as null.

    Args:
        path: the file.

    Raises:
        OSError: in the first epoch, if the path cannot be written.

    >>> net, watch = gpunn.Network([2, 3, 1], seed=0), gpunn.callbacks.JsonLines("history.jsonl")
    >>> history = net.fit(np.eye(2), [0, 1], epochs=2, on_epoch_end=watch)
    >>> len(watch.path.read_text().splitlines())
    2
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.started = Path(path), False

    def __call__(self, record: Record) -> None:
        if not self.started:
            kept = [line for line in self._lines() if _epoch(line) < record.epoch]
            write_whole(self.path, "".join([*kept, _line(record)]).encode())
            self.started = True
        else:
            _append(self.path, _line(record).encode())

    def _lines(self) -> list[str]:
        """Return the lines of an existing file; a device or a FIFO has none."""
        if not self.path.is_file():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _append(path: Path, content: bytes) -> None:
    """Append to a file, or leave it unchanged. Raises OSError, naming the file, if it cannot be written."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _line(record: Record) -> str:
    return dump_json(asdict(record)) + "\n"


def _epoch(line: str) -> float:
    """Return the epoch of a line; infinity for a line that a killed process left half-written."""
    try:
        return float(parse_json(line)["epoch"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return float("inf")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write the file that `JsonLines` would, all at once and atomically."""
    write_whole(path, "".join(map(_line, records)).encode())


def read_records(path: Path) -> list[Record]:
    """Read a file that `JsonLines` wrote. Raises ValueError, with the line number, for anything else."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [_read_record(path, number, line) for number, line in enumerate(lines, start=1)]


def read_complete_records(path: Path) -> list[Record]:
    """Read the records of a run that is being written or was killed: all lines but an incomplete last one."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]
    return [_read_record(path, number, line) for number, line in enumerate(lines, start=1)]


def _read_record(path: Path, number: int, line: str) -> Record:
    """Read line `number`, which holds the record of epoch `number`; a loss of null becomes NaN."""
    try:
        found = null_if_not_finite(parse_json(line))
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: not the record of an epoch: {error}") from None
    wrong = explain_mismatch(found, "history.json", "record")
    if not wrong and found["epoch"] != number:
        wrong = f"epoch {found['epoch']:,} is out of order"
    if wrong:
        raise ValueError(f"{path}, line {number}: not the record of an epoch: {wrong}")
    for name in ("loss", "examples_per_second"):
        found[name] = math.nan if found[name] is None else found[name]
    return Record(**found)


class TensorBoard:
    """Write the measurements of each record for TensorBoard as soon as its epoch is done.

    Only the messages are tensorboardX's. Its writer is not used: it is a thread, which hangs training when
    the disk is full and which Python 3.12 and later do not let finish at exit.

    Args:
        folder: the folder, for `tensorboard --logdir`.

    Raises:
        ImportError: if tensorboardX is not installed; the message says what to install.
        OSError: at the end of an epoch, if the folder cannot be written.
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
    """Frame a message for TensorBoard's files: its length and the message, each with a checksum."""
    from tensorboardX.record_writer import masked_crc32c

    message = event.SerializeToString()
    length = struct.pack("<Q", len(message))
    return b"".join(
        [length, struct.pack("<I", masked_crc32c(length)), message, struct.pack("<I", masked_crc32c(message))]
    )
