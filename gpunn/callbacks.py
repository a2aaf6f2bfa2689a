"""Watching a training: what `Network.fit` may call after every epoch, with the epoch's record.

Any function of a `Record` will do, and training ends where it returns True:

>>> net = gpunn.Network([2, 3, 1], seed=0)
>>> history = net.fit(np.eye(2), [0, 1], epochs=50, on_epoch_end=lambda record: record.epoch == 3)
>>> len(history), history.stopped
(3, 'callback')
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from gpunn.history import Record
from gpunn.modelfile import write_whole

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
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(record))

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []


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
    """Writes each record's figures into a folder for TensorBoard, through tensorboardX.

    Args:
        folder: which `tensorboard --logdir` is then given.

    Raises:
        ImportError: tensorboardX is missing; the message says what to install.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError('TensorBoard needs tensorboardX: pip install "gpunn[tensorboard]"') from error
        self.writer = SummaryWriter(str(folder), flush_secs=1)
        atexit.register(
            self.writer.close
        )  # a thread of its own writes, and a process that ends does not wait

    def __call__(self, record: Record) -> None:
        for name, value in asdict(record).items():
            if name != "epoch" and value is not None:
                self.writer.add_scalar(name, value, record.epoch)
