"""Ship the data of a sweep to its workers, once each.

A task names its data by a key, and a worker keeps the data that it had last. A worker on this machine, or one
that shares the folder, maps a file into memory. Any other answers that it lacks the data, and gets them with
the task that is sent again.
"""

from __future__ import annotations

import itertools
import os
import pickle
import platform
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import joblib

# The package loky has these names, too, but its resource tracker and joblib's complain of each other's files.
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.backend.reduction import dumps
from threadpoolctl import threadpool_limits

from gpunn.version import __version__

D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")
Work: TypeAlias = Callable[[D, Sequence[T]], Iterator[R]]

PREFIX = "gpunn-sweep-"

_lent: dict[int, Any] = {}  # the data of this process's sweeps, for threads that are their workers
_numbers = itertools.count()
_kept: dict[str, Any] = {}  # the data that this worker had last
_fetching = threading.Lock()


@dataclass(frozen=True)
class Parcel:
    """Data, as a task names them.

    Attributes:
        key: equal for equal data.
        home: the machine and the process that the data come from.
        number: the number of the data there.
        version: gpunn's version there.
        path: the file of the data; None if there is none.
    """

    key: str
    home: tuple[str, int]
    number: int
    version: str = __version__
    path: Path | None = None


class Shipment(Generic[D]):
    """Data that the workers of a sweep share. `close` removes their file, as does the end of this process.

    Args:
        data: the data.
        folder: where to write the file; None for a temporary folder.
        lasting: whether workers know equal data of a later sweep again, which takes a checksum.
    """

    def __init__(self, data: D, folder: Path | None = None, *, lasting: bool = False) -> None:
        self.data, self.folder = data, folder
        key = joblib.hash(data) if lasting else secrets.token_hex(8)
        self.parcel = Parcel(key, here(), next(_numbers))
        self.place: Path | None = None
        self._content: bytes | None = None
        _lent[self.parcel.number] = data

    def to_file(self) -> None:
        """Write the file. Raises OSError if there is no room."""
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.folder)).absolute()
        resource_tracker.register(str(self.place), "folder")  # removes it even if this process is killed
        try:
            joblib.dump(self.data, self.place / "data")
        except OSError as error:
            self.close()
            why = f"{error.strerror}: set TMPDIR to a folder with more room"
            raise OSError(f"cannot write the data for the workers to {self.place}: {why}") from None
        self.parcel = replace(self.parcel, path=self.place / "data")

    @property
    def content(self) -> bytes:
        """The pickled data."""
        if self._content is None:
            self._content = bytes(dumps(self.data))
        return self._content

    def close(self) -> None:
        """Remove the file, and let the data go."""
        _lent.pop(self.parcel.number, None)
        if self.place:
            shutil.rmtree(self.place, ignore_errors=True)
            resource_tracker.unregister(str(self.place), "folder")


def remove_leftovers(folder: Path) -> None:
    """Remove the files of sweeps that were killed."""
    for left in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


# in a worker


class Lacking(Exception):
    """This worker lacks the data of a task."""


def here() -> tuple[str, int]:
    """Return the machine and the process."""
    return platform.node(), os.getpid()


def perform(work: Work[D, T, R], parcel: Parcel, items: Sequence[T], sent: Any = None) -> list[R] | None:
    """Do the work on some items; return None if this worker lacks the data.

    sent: the data, pickled or not, if they came with the task.

    Raises ValueError if this worker has another version of gpunn.
    """
    if parcel.version != __version__:
        raise ValueError(other_version(__version__, parcel.version))
    if here() != parcel.home:
        use_one_thread()
    try:
        return list(work(fetch(parcel, sent), items))
    except Lacking:
        return None


def fetch(parcel: Parcel, sent: Any = None) -> Any:
    """Return the data of a parcel, and keep them for later tasks. Raises Lacking if they are not at hand."""
    if here() == parcel.home:
        return _lent[parcel.number]
    if sent is not None and not isinstance(sent, bytes):
        return sent
    with _fetching:
        if parcel.key not in _kept:
            found = _open(parcel) if sent is None else pickle.loads(sent)
            _kept.clear()
            _kept[parcel.key] = found
        return _kept[parcel.key]


def _open(parcel: Parcel) -> Any:
    """Map the file of the data into memory, where all the workers on a machine share it."""
    if parcel.path is None:
        raise Lacking
    try:
        return joblib.load(parcel.path, mmap_mode="r")
    except OSError:
        raise Lacking from None


def other_version(theirs: str, mine: str) -> str:
    """Say that the versions of gpunn differ."""
    return f"the workers have gpunn {theirs}, but the sweep has {mine}: install the same version everywhere"


@lru_cache(maxsize=1)
def use_one_thread() -> Any:
    """Limit BLAS to one thread, for as long as this process lives."""
    return threadpool_limits(1)
