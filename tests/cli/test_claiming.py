"""Processes that want the same folder at the same moment: one gets it, and nobody removes another's folder.

Each test forces one order of events. A second claim inside this process stands for another process, because
the lock belongs to the open file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gpunn.cli import locking, runs

RUN = Path("run")


def before_first(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], Any]) -> None:
    """Let something happen just before the first call of a function."""
    original, done = getattr(owner, name), False

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal done
        if not done:
            done = True
            act()
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, call)


def test_the_winner_keeps_a_folder_that_the_loser_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as winner:
        claim = lambda: winner.enter_context(runs.run_folder(RUN, "x"))  # noqa: E731
        before_first(monkeypatch, runs, "Lock", claim)  # the loser has made the folder
        with pytest.raises(ValueError, match="another process is training in run"), runs.run_folder(RUN, "x"):
            pass
        assert locking.is_locked(RUN / runs.LOCK)


def test_a_folder_that_was_removed_before_it_was_locked_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_first(monkeypatch, runs, "Lock", RUN.rmdir)
    with runs.run_folder(RUN, "x") as folder:
        assert locking.is_locked(folder / runs.LOCK)
    assert not RUN.exists()


def test_a_folder_locked_by_another_process_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as other:
        with runs.run_folder(RUN, "x"):
            claim = lambda: other.enter_context(runs.run_folder(RUN, "x"))  # noqa: E731
            before_first(monkeypatch, Path, "rmdir", claim)  # the first process has released its lock
        assert locking.is_locked(RUN / runs.LOCK)
    assert RUN.exists()  # the first process made it, and the second does not remove it


def test_the_parent_of_a_new_folder_may_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Path.mkdir, []

    def mkdir(path: Path, *arguments: Any, **named: Any) -> None:
        calls.append(path)
        if len(calls) == 4:  # gpunn-runs and the folder above are there, now comes the run's
            os.rmdir(runs.RUNS)
        original(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with runs.run_folder(None, "x") as folder:
        assert folder == runs.RUNS / "x-1"
    assert calls.count(runs.RUNS / "x-1") >= 2
    assert not runs.RUNS.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot delete an open file")
def test_a_lock_on_a_deleted_file_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    holder, third = locking.Lock(path), []

    def change_hands() -> None:
        holder.release()
        third.append(locking.Lock(path))

    before_first(monkeypatch, fcntl, "flock", change_hands)  # this process has the old file open
    with pytest.raises(locking.Locked):
        locking.Lock(path)
    third[0].release()
    assert not path.exists()


def test_new_folders_have_different_numbers() -> None:
    with runs.run_folder(None, "x") as a, runs.run_folder(None, "x") as b:
        assert (a.name, b.name) == ("x-1", "x-2")
    assert not runs.RUNS.exists()


def test_temporary_files_of_a_killed_run_are_removed() -> None:
    RUN.mkdir()
    half, mine = RUN / ".model.safetensors.0123abcd.tmp", RUN / ".model.safetensors.bak"
    half.touch()
    mine.touch()
    with runs.run_folder(RUN, "x"):
        assert {path.name for path in RUN.iterdir()} == {runs.LOCK, mine.name}
