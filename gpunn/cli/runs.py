"""The folder of a run: only one process trains in it at a time, and it never mixes files of two runs."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gpunn.network import Network
from gpunn.training.callbacks import write_records
from gpunn.training.checkpoint import Checkpoints
from gpunn.training.history import History

RUNS = Path("gpunn-runs")
MODEL, HISTORY, NEW_HISTORY = "model.safetensors", "history.jsonl", "history.new.jsonl"
DERIVED = ("run.json", "report.html", "curve.png")  # made from the model and the history
LOCK = ".lock"


def check_output(folder: Path, resumed: bool) -> None:
    """Check, before training and without leaving a file behind, that a run can be saved in the folder.

    Raises ValueError if the folder cannot be written, or if it has the checkpoints of another run.
    """
    if not resumed and Checkpoints(folder / "checkpoints").files():
        raise ValueError(
            f"{folder} has the checkpoints of another run: continue that run with --resume {folder}, or "
            "choose another folder with --output"
        )
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        advice = (
            "a resumed run is saved in its own folder" if resumed else "choose another folder with --output"
        )
        raise ValueError(f"cannot write to {folder} ({error.strerror}): {advice}") from error


@contextmanager
def run_folder(output: Path | None, name: str) -> Iterator[Path]:
    """Make and lock the folder of a run; remove it again if the run leaves no file in it."""
    folder = output or new_folder(RUNS, name)
    made = output is None or not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder):
            yield folder
    finally:
        with suppress(OSError):  # not empty
            if made:
                folder.rmdir()
            if output is None:
                RUNS.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from training in the folder until this block ends or this process dies.

    Raises ValueError if another process trains there.
    """
    lock = FileLock(folder / LOCK)
    with suppress(OSError, NotImplementedError):  # a file system without locks
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another process is training in {folder}: wait for it, or choose another --output"
            ) from None
    try:
        yield
    finally:
        if os.name == "nt":  # Windows cannot delete an open file
            lock.release()
        with suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


def live_history(folder: Path) -> Path:
    """Return the file for the history of a run in progress: never the history of a model already there."""
    return folder / (NEW_HISTORY if (folder / MODEL).exists() else HISTORY)


def keep(folder: Path, net: Network, history: History) -> None:
    """Save a run's network and history in place of an earlier run's, and delete the rest of that run.

    The files that need disk space are written first: if the disk is full, the earlier run remains whole.
    """
    write_records(folder / NEW_HISTORY, history)
    net.save(folder / MODEL)
    for name in DERIVED:
        (folder / name).unlink(missing_ok=True)
    os.replace(folder / NEW_HISTORY, folder / HISTORY)


def new_folder(parent: Path, name: str) -> Path:
    """Make the folder NAME-N with the lowest free number N."""
    parent.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1):
        with suppress(FileExistsError):
            folder = parent / f"{name}-{n}"
            folder.mkdir()
            return folder
    raise AssertionError("count does not end")
