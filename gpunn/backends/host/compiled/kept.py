"""Compiled libraries in the user's cache, by the key of what they were made of.

A library's name is its key and a checksum of its content, so a damaged file is never loaded: one that is cut
short would end the process. A new library is written beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

SUFFIX = ".dll" if os.name == "nt" else ".so"
DAY = 24 * 3600  # seconds
UNUSED = 90 * DAY  # a library that nobody has used for so long is removed
RETRY = 3600  # seconds for which a failure is remembered


def folders() -> list[Path]:
    """List the folders to look into: the user's cache, and if that cannot be written, the user's own in /tmp.

    The second matters in containers and on clusters whose home folders are read-only.
    """
    own = Path(tempfile.gettempdir()) / f"gpunn-{os.getuid() if hasattr(os, 'getuid') else ''}"
    candidates = [user_cache_path("gpunn") / "kernels"]
    if not is_writable(candidates[0]):
        with suppress(OSError):
            own.mkdir(mode=0o700, exist_ok=True)
            if is_private(own):
                candidates.append(own / "kernels")
    return candidates


def is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, which is made if it is missing."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return os.access(folder, os.W_OK | os.X_OK)


def is_private(folder: Path) -> bool:
    """Whether no other user can have put a library into the folder."""
    found = os.lstat(folder)  # not through a link, which may be another user's
    if not hasattr(os, "getuid"):  # on Windows, each user has a folder for temporary files
        return stat.S_ISDIR(found.st_mode)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def checksum(content: bytes) -> str:
    """Return a short checksum."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def checksum_in(path: Path) -> str:
    """Return the checksum in a library's name."""
    return path.stem.partition("-")[2]


def find(folder: Path, key: str) -> Path | None:
    """Return the library of that key, and note that it is used; remove it if it is damaged."""
    for path in sorted(folder.glob(f"{key}-*{SUFFIX}")):
        with suppress(OSError):
            if checksum_in(path) == checksum(path.read_bytes()):
                if time.time() - path.stat().st_mtime > DAY:
                    with suppress(OSError):
                        os.utime(path)
                return path
            path.unlink()
    return None


def keep(folder: Path, key: str, made: Path) -> Path:
    """Move a new library to its place, and remove what nobody uses."""
    with made.open("rb+") as file:
        content = file.read()
        os.fsync(file.fileno())
    path = folder / f"{key}-{checksum(content)}{SUFFIX}"
    made.replace(path)
    with suppress(OSError):
        _failure(folder, key).unlink()
    remove_unused(folder)
    return path


def remove_unused(folder: Path) -> None:
    """Remove libraries of other versions, and what killed processes have left."""
    for path in folder.iterdir():
        with suppress(OSError):  # another process removes it
            if time.time() - path.stat().st_mtime > UNUSED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def remember_failure(folder: Path, key: str, why: str) -> None:
    """Remember for an hour that a library cannot be made, so that not every process tries."""
    with suppress(OSError):
        _failure(folder, key).write_text(why, encoding="utf-8")


def remembered_failure(folder: Path, key: str) -> str | None:
    """Return why the library could not be made within the last hour; None if nobody has failed."""
    path = _failure(folder, key)
    with suppress(OSError, UnicodeError):
        if 0 <= time.time() - path.stat().st_mtime < RETRY:
            return path.read_text(encoding="utf-8")
    return None


def _failure(folder: Path, key: str) -> Path:
    return folder / f"{key}.failed"
