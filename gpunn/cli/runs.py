"""The folder of a run: only one process trains in it at a time, and it never mixes files of two runs."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpunn.cli import ensembles
from gpunn.cli.locking import Lock, Locked
from gpunn.files.ensemble import FORMAT as ENSEMBLE_FORMAT
from gpunn.files.model import FORMAT as MODEL_FORMAT
from gpunn.files.tensors import read_metadata
from gpunn.files.writing import check_writable, remove_temporary_files
from gpunn.predictor import Predictor
from gpunn.report.run import FORMAT as RUN_FORMAT
from gpunn.training.callbacks import write_records
from gpunn.training.checkpoint_files import Checkpoints
from gpunn.training.history import History

RUNS = Path("gpunn-runs")
MODEL, HISTORY, NEW_HISTORY, RUN = "model.safetensors", "history.jsonl", "history.new.jsonl", "run.json"
REPORT, CURVE = "report.html", "curve.png"
DERIVED = (RUN, REPORT, CURVE)  # made from the model and the history
LOCK = ".lock"
ATTEMPTS = 100  # to make a folder that other processes keep removing

# what may be replaced


def check_output(folder: Path, *, resumed: bool, overwrite: bool) -> None:
    """Check, before training and without leaving a file behind, that a run can be saved in the folder.

    Raises ValueError if the folder cannot be written, or if a file there must not be replaced.
    """
    check_replaceable(folder, resumed=resumed, overwrite=overwrite)
    try:
        check_writable(folder)
    except OSError as error:
        advice = (
            "a resumed run is saved in its own folder" if resumed else "choose another folder with --output"
        )
        raise ValueError(f"cannot write to {folder} ({error.strerror}): {advice}") from error


def check_replaceable(folder: Path, *, resumed: bool, overwrite: bool) -> None:
    """Raise ValueError if a run saved in this folder would replace another run or a file of the user's.

    resumed: the run in this folder goes on. overwrite: another run may be replaced.
    """
    if foreign := foreign_file(folder):
        raise ValueError(
            f"{foreign} was not written by gpunn train and would be replaced: move it, or choose another "
            "folder with --output"
        )
    if resumed or overwrite:
        return
    if Checkpoints(folder / "checkpoints").files():
        raise ValueError(
            f"{folder} has the checkpoints of another run: continue that run with --resume {folder}, choose "
            "another folder with --output, or replace the run with --overwrite"
        )
    if ensembles.exists(folder):
        raise ValueError(
            f"{folder} has networks of an ensemble that is not whole: continue it with --resume {folder}, "
            "choose another folder with --output, or replace the run with --overwrite"
        )
    if (folder / MODEL).exists():
        raise ValueError(
            f"{folder} holds another run: choose another folder with --output, or replace the run with "
            "--overwrite"
        )


def foreign_file(folder: Path) -> Path | None:
    """Return a file of the folder that a run would replace although no run wrote it; None without one."""
    present = {name for name in (MODEL, HISTORY, NEW_HISTORY, *DERIVED) if os.path.lexists(folder / name)}
    known = {name for name in present if _is_ours(folder / name)}
    if known:  # a report or a curve has no mark of its own, so the files beside it decide
        known |= {REPORT, CURVE}
    return next((folder / name for name in sorted(present - known)), None)


def _is_ours(path: Path) -> bool:
    """Whether gpunn wrote a model, a history or a run.json; False for any other file."""
    try:
        if path.name == MODEL:
            return read_metadata(path).get("format") in (MODEL_FORMAT, ENSEMBLE_FORMAT)
        if path.name == RUN:
            return bool(json.loads(path.read_bytes())["format"] == RUN_FORMAT)
        if path.name in (HISTORY, NEW_HISTORY):
            with path.open("rb") as file:
                line = file.readline()
            return line == b"" or {"epoch", "loss"} <= json.loads(line).keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return False


# the folder


@contextmanager
def run_folder(
    output: Path | None, name: str, *, resumed: bool = False, overwrite: bool = False
) -> Iterator[Path]:
    """Make and lock the folder of a run; remove it again if the run leaves no file in it.

    A process only removes a folder that it made itself. If another process has its lock in the folder by
    then, the folder is not empty and stays. If another process is about to lock it, it makes it anew.
    """
    made_parent = output is None and _make(RUNS)
    folder, made, lock = _claim_new(RUNS, name) if output is None else (output, *_claim(output))
    try:
        check_replaceable(folder, resumed=resumed, overwrite=overwrite)  # again: it could have changed
        if overwrite:
            remove_checkpoints(folder / "checkpoints")
            ensembles.remove(folder)
        remove_temporary_files(folder)
        yield folder
    finally:
        lock.release()
        with suppress(OSError):  # not empty, or another process has locked it by now
            if made:
                folder.rmdir()
            if made_parent:
                RUNS.rmdir()


def _claim(folder: Path) -> tuple[bool, Lock]:
    """Make and lock a folder; return whether this process made it, and the lock.

    Raises ValueError if another process trains there.
    """
    for attempt in itertools.count(1):
        try:
            made = _make(folder)
            return made, Lock(folder / LOCK)
        except Locked:
            raise ValueError(
                f"another process is training in {folder}: wait for it, or choose another --output"
            ) from None
        except FileNotFoundError:  # another process has just removed the folder, or the folder above
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("count does not end")


def _claim_new(parent: Path, name: str) -> tuple[Path, bool, Lock]:
    """Make and lock the folder NAME-N with the lowest free number N."""
    n = vanished = 0
    while True:
        folder = parent / f"{name}-{n + 1}"
        try:
            if _make(folder):
                return folder, True, Lock(folder / LOCK)
            n += 1
        except Locked:  # another process was told to use this folder
            n += 1
        except FileNotFoundError:  # another process has just removed the parent, which was empty
            vanished += 1
            if vanished == ATTEMPTS:
                raise


def _make(folder: Path) -> bool:
    """Make a folder; return whether this process made it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run that another run replaces."""
    for path in Checkpoints(folder).files():
        path.unlink()
    with suppress(OSError):  # it does not exist, or is not empty
        folder.rmdir()


def live_history(folder: Path) -> Path:
    """Return the file for the history of a run in progress: never the history of a model already there."""
    return folder / (NEW_HISTORY if (folder / MODEL).exists() else HISTORY)


def keep(folder: Path, net: Predictor, history: History) -> None:
    """Save a run's network and history in place of an earlier run's, and delete the rest of that run.

    The files that need disk space are written first: if the disk is full, the earlier run remains whole. A
    folder that was deleted during training is made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / NEW_HISTORY, history)
    net.save(folder / MODEL)
    for name in DERIVED:
        (folder / name).unlink(missing_ok=True)
    os.replace(folder / NEW_HISTORY, folder / HISTORY)
