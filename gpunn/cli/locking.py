"""A lock on a file that a process holds until it releases it or dies."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Locked(Exception):
    """Another process holds the lock."""


class Lock:
    """Create and lock a file; `release` deletes it again.

    Nothing is locked on a file system without locks.

    Raises:
        Locked: if another process holds the lock.
        OSError: if the file cannot be created, such as FileNotFoundError if its folder is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        while True:
            self.handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(self.handle)
            except BaseException:
                os.close(self.handle)
                raise
            # The last holder may have deleted the file after it was opened here. A lock on a deleted file
            # excludes nobody.
            if self._is_current():
                return
            os.close(self.handle)

    def _is_current(self) -> bool:
        """Whether the locked file is still the file at the path."""
        try:
            return os.path.samestat(os.fstat(self.handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Delete the file and unlock it."""
        if os.name == "nt":  # Windows cannot delete an open file
            os.close(self.handle)
        with suppress(OSError):
            self.path.unlink()
        if os.name != "nt":
            os.close(self.handle)


def _lock(handle: int) -> None:
    """Lock an open file without waiting. Raises Locked if another process holds the lock."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise Locked from None
    except OSError:  # a file system without locks
        pass


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on this file. The file is neither created nor deleted."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _lock(handle)
    except Locked:
        return True
    finally:
        os.close(handle)
    return False
