"""Write files whole or not at all.

A regular file is replaced atomically: the new content is written beside it, synced to disk, and renamed over
it. The new file keeps the mode of the old one, and its owner and group if this process may set them. A
symbolic link stays, and the file that it points to is replaced. Devices, FIFOs and `/dev/stdout` are written
to, never replaced.

A file with several hard links cannot be replaced without breaking them. It is rewritten in place, after a
copy of its content is saved beside it: a failed write is undone, and a kill leaves the copy, `.NAME.….bak`.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows, where an open file cannot be removed
    fcntl = None  # type: ignore[assignment]

MAX_NAME = 50  # characters of a file's name that its temporary file repeats
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
STALE = 60.0  # seconds without a change, after which a temporary file without a lock is a killed process's
DESCRIPTORS = re.compile(r"/dev/(?:fd/(\d+)|stdout|(stderr))|/proc/self/fd/(\d+)")


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Replace a file by a complete one, or leave it as it was. Raises OSError, with the path, on failure.

    content: the bytes, or parts of them, which are written as they come.
    """
    try:
        if (descriptor := _descriptor(path)) is not None:
            for part in _parts(content):
                _write_descriptor(descriptor, part)
            return
        try:
            old = path.stat()
        except FileNotFoundError:
            old = None
        if old and not stat.S_ISREG(old.st_mode):
            _write_special(path, b"".join(_parts(content)))
        elif old and old.st_nlink > 1:
            _rewrite(path, b"".join(_parts(content)), old)
        else:
            _replace(Path(os.path.realpath(path)), content, old)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _parts(content: bytes | Iterable[bytes]) -> Iterable[bytes]:
    return [content] if isinstance(content, bytes) else content


def _replace(path: Path, content: bytes | Iterable[bytes], old: os.stat_result | None) -> None:
    """Write a temporary file beside `path` and rename it to `path`, with the mode and owner of `old`."""
    beside = _write_beside(path, content, old)
    try:
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)  # Ctrl-C may come after os.replace
        raise
    _remove_stale(path)


def _write_beside(
    path: Path, content: bytes | Iterable[bytes], old: os.stat_result | None, kind: str = "tmp"
) -> Path:
    """Write a file in the folder of `path`, sync it to disk, and return its path.

    The kernel applies the umask to a new file. To read the umask, a process would have to change it for a
    moment, and with it the mode of files that other threads create.
    """
    beside = path.with_name(f".{path.name[:MAX_NAME]}.{secrets.token_hex(4)}.{kind}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(beside, flags, 0o600 if old else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            _lock(file.fileno())
            file.writelines(_parts(content))
            file.flush()
            if old:
                _copy_permissions(file.fileno(), beside, old)
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def _remove_stale(path: Path) -> None:
    """Remove what killed processes left of earlier writes of `path`: temporary files, old and not locked."""
    named = re.compile(rf"\.{re.escape(path.name[:MAX_NAME])}\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):
        for left in [left for left in os.scandir(path.parent) if named.fullmatch(left.name)]:
            if left.is_file(follow_symlinks=False) and time.time() - left.stat().st_mtime > STALE:
                with suppress(OSError), open(left.path, "rb") as file:
                    _lock(file.fileno())
                    os.unlink(left.path)


def _lock(handle: int) -> None:
    """Lock an open file until it is closed. Raises BlockingIOError if another process holds the lock."""
    if fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # the file system has no locks
            pass


def _copy_permissions(handle: int, path: Path, old: os.stat_result) -> None:
    """Give a file the mode of another and, if this process may, its owner and group.

    A group that cannot be set gets no access: the mode was meant for another group.
    """
    mode, new = stat.S_IMODE(old.st_mode), os.fstat(handle)
    if hasattr(os, "fchown") and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.fchown(handle, -1, old.st_gid)
        except OSError:
            mode &= ~stat.S_IRWXG
        with suppress(OSError):
            os.fchown(handle, old.st_uid, -1)
    os.chmod(path, mode)


def _rewrite(path: Path, content: bytes, old: os.stat_result) -> None:
    """Write in place, so that all hard links stay, after saving a copy of the old content beside the file."""
    before = path.read_bytes()
    copy = _write_beside(Path(os.path.realpath(path)), before, old, "bak")
    with path.open("r+b") as file:
        try:
            _overwrite(file.fileno(), content)
        except BaseException:
            _overwrite(file.fileno(), before)
            copy.unlink()
            raise
    copy.unlink()


def _overwrite(handle: int, content: bytes) -> None:
    """Write a file from its start, and cut it off only at the end, so that the old content has its space."""
    os.lseek(handle, 0, os.SEEK_SET)
    _write_descriptor(handle, content)
    os.ftruncate(handle, len(content))
    os.fsync(handle)


def _write_special(path: Path, content: bytes) -> None:
    """Write into a device or a FIFO; a folder is refused by the system."""
    handle = os.open(path, os.O_WRONLY)
    try:
        _write_descriptor(handle, content)
    finally:
        os.close(handle)


def _write_descriptor(handle: int, content: bytes) -> None:
    """Write all of the content to an open file."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _descriptor(path: Path) -> int | None:
    """Return N if the path stands for this process's open file N, such as `/dev/stdout`; otherwise None."""
    found = DESCRIPTORS.fullmatch(os.path.normpath(path))
    if not found or os.name == "nt":
        return None
    for stream in (sys.stdout, sys.stderr):
        if stream:  # None without a console
            stream.flush()
    return int(found[1] or found[3] or (2 if found[2] else 1))


# what may be written, and what a killed process leaves


def check_writable(folder: Path) -> None:
    """Raise OSError, with the folder, if no file can be made in it, or the folder itself cannot be made."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same regular file, by links of any kind or by another spelling."""
    try:
        return os.path.samefile(one, other) and Path(one).is_file()
    except OSError:
        return False


def check_not_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raise ValueError if writing to `path` would destroy one of the files that are read."""
    for file in inputs:
        if same_file(path, file):
            raise ValueError(f"{path} would overwrite {file}, which is an input: choose another path")


def remove_temporary_files(folder: Path) -> None:
    """Remove files that killed processes left half-written, from a folder that no other process writes to."""
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name)]:
            path.unlink()
