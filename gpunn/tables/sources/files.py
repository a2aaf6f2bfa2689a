"""Files as bytes: regular files, standard input and pipes, and what gzip, bzip2, xz and zip unpack to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import sys
import tempfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from gpunn.names import one_line

STDIN = "-"
PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip"}
BZIP2_BLOCK = b"1AY&SY", b"\x17rE8P\x90"  # what follows "BZh" and a digit
DAMAGED = OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile
UNKNOWN = NotImplementedError, RuntimeError  # a zip file with a method that Python lacks, or a password


class ByteFile:
    """The unpacked bytes of a file, which can be opened as often as needed.

    Standard input ("-") and pipes are copied to a temporary file first, which leaves no name behind.

    Args:
        path: the file, or "-" for standard input.

    Raises:
        ValueError: the file's packing is damaged.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, name_of(path)
        self._copy: IO[bytes] | None = None
        if str(path) == STDIN:
            self._copy = _copied(sys.stdin.buffer)
        elif stat.S_ISFIFO(os.stat(path).st_mode):
            with path.open("rb") as pipe:
                self._copy = _copied(pipe)
        if self._copy:
            weakref.finalize(self, self._copy.close)
        with self.raw() as file:
            self.packing = _packing(file.read(10))
        expected = None if self._copy else PACKED.get(path.suffix.lower())
        if expected and expected != self.packing:
            raise ValueError(f"{self.name} cannot be decompressed: it is not a {expected} file")

    def raw(self) -> IO[bytes]:
        """Open the file as it is."""
        return io.BufferedReader(Shared(self._copy)) if self._copy else self.path.open("rb")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the unpacked bytes. Errors of unpacking become a ValueError that names the file."""
        with self.raw() as file:
            try:
                with _unpacked(file, self.packing) as unpacked:
                    yield unpacked
            except (*DAMAGED, *UNKNOWN) as error:
                if isinstance(error, OSError) and error.filename:
                    raise
                what = "decompressed" if self.packing else "read"
                raise ValueError(f"{self.name} cannot be {what}: {one_line(error)}") from None


class Shared(io.RawIOBase):
    """A reader of an open file that keeps a position of its own."""

    _lock = threading.Lock()

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with self._lock:
            start = (0, self._at, self._file.seek(0, io.SEEK_END))[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with self._lock:
            self._file.seek(self._at)
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def name_of(path: Path) -> str:
    """Return what messages call a file."""
    return "standard input" if str(path) == STDIN else str(path)


def _copied(file: IO[bytes]) -> IO[bytes]:
    """Copy a file that can be read only once to a temporary file."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(file, copy, 1 << 20)
    return copy


def _packing(head: bytes) -> str | None:
    """Return how a file is packed, from its first ten bytes."""
    packing = next((packing for magic, packing in MAGIC.items() if head.startswith(magic)), None)
    return None if packing == "bzip2" and head[4:10] not in BZIP2_BLOCK else packing


@contextmanager
def _unpacked(file: IO[bytes], packing: str | None) -> Iterator[IO[bytes]]:
    if packing == "gzip":
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked  # type: ignore[misc]
    elif packing == "bzip2":
        with bz2.BZ2File(file) as unpacked:
            yield unpacked
    elif packing == "xz":
        with lzma.LZMAFile(file) as unpacked:
            yield unpacked
    elif packing == "zip":
        with zipfile.ZipFile(file) as archive, archive.open(_member(archive)) as unpacked:
            yield unpacked
    else:
        yield file


def _member(archive: zipfile.ZipFile) -> str:
    """Return the only file in an archive, apart from hidden ones such as those that macOS adds."""
    names = [name for name in archive.namelist() if not name.endswith("/") and not _hidden(name)]
    if len(names) != 1:
        raise zipfile.BadZipFile(f"it holds {len(names):,} files, expected one table")
    return names[0]


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
