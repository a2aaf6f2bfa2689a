"""Files that one process at a time makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Exclude other processes, if the file system has locks and no process hangs with the lock.

    Args:
        path: the lock file; its folder is made if necessary.
        patience: seconds to wait for another process.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except (Timeout, OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()
