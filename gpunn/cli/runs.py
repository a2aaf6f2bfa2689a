"""The folder of a run: one process trains there at a time, and no two runs are ever mixed in it."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpunn.network import Network
from gpunn.training.callbacks import write_records
from gpunn.training.checkpoint import Checkpoints
from gpunn.training.history import History

RUNS = Path("gpunn-runs")
MODEL, HISTORY, NEW_HISTORY = "model.safetensors", "history.jsonl", "history.new.jsonl"
MADE_OF_THEM = ("run.json", "report.html", "curve.png")


def check_output(folder: Path, resumed: bool) -> None:
    """Find out before the work whether a run can be kept in the folder, leaving nothing behind.

    ValueError where it cannot be written, or has the checkpoints of another run than the resumed one.
    """
    if not resumed and Checkpoints(folder / "checkpoints").files():
        raise ValueError(
            f"{folder} holds the checkpoints of a run: go on with that by --resume, or choose another folder"
        )
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        advice = "a run is resumed where it is" if resumed else "choose a folder with --output"
        raise ValueError(f"cannot write to {folder} ({error.strerror}): {advice}") from error


@contextmanager
def run_folder(output: Path | None, name: str) -> Iterator[Path]:
    """The folder of a run, made if need be, and locked; gone again if nothing came of the run."""
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
    """Keep other processes from training there, until this one is done or dead; on Windows they may.

    ValueError where another one trains there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system that has no locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"another process trains in {folder}: wait for it, or choose another folder with --output"
                ) from None
        yield
    finally:
        os.close(handle)


def live_history(folder: Path) -> Path:
    """Where a run writes its epochs down while it goes on: not over those of the model that is there."""
    return folder / (NEW_HISTORY if (folder / MODEL).exists() else HISTORY)


def keep(folder: Path, net: Network, history: History) -> None:
    """Put a run's network and history in the place of an earlier run's, of which nothing stays.

    What needs room on the disk comes first: where there is none, the earlier run is as it was.
    """
    write_records(folder / NEW_HISTORY, history)
    net.save(folder / MODEL)
    for name in MADE_OF_THEM:
        (folder / name).unlink(missing_ok=True)
    os.replace(folder / NEW_HISTORY, folder / HISTORY)


def new_folder(parent: Path, name: str) -> Path:
    """Make NAME-1, or whichever number is free."""
    parent.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1):
        try:
            folder = parent / f"{name}-{n}"
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise AssertionError("count does not end")
