"""A lock on a file that a process holds until it releases it or dies."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 0.2  # seconds: another process may be about to release the lock
NO_LOCKS = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK)


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
        path.parent.stat()  # FileLock would make the folder
        self.path, self.lock = path, FileLock(path)
        try:
            self.lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 10)
        except Timeout:
            raise Locked from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise

    def release(self) -> None:
        """Delete the file and unlock it; a lock on a deleted file excludes nobody."""
        if os.name == "nt":  # Windows cannot delete an open file
            self.lock.release()
        with suppress(OSError):
            self.path.unlink()
        self.lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on this file."""
    if not path.exists():
        return False
    try:
        Lock(path).release()
    except Locked:
        return True
    except OSError:
        pass
    return False
