"""The folder of a run."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RUNS = Path("gpunn-runs")


def check_writable(folder: Path) -> None:
    """Find out before the work whether the folder could be written, leaving nothing behind."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ValueError(
            f"cannot write to {folder} ({error.strerror}): choose a folder with --output"
        ) from error


@contextmanager
def run_folder(output: Path | None, name: str) -> Iterator[Path]:
    """The folder of a run, made if need be; gone again if nothing came of the run."""
    folder = output or new_folder(RUNS, name)
    made = output is None or not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        with suppress(OSError):  # not empty
            if made:
                folder.rmdir()
            if output is None:
                RUNS.rmdir()


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
