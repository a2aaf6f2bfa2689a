"""The threads of BLAS, which everything in this process shares, and the most that may run."""

from __future__ import annotations

import os
import threading
from functools import cache, lru_cache
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

NOTHING = 0, -inf  # a number of threads that was chosen, and when, on the backends' clock
CREDIT = 6e-3  # seconds that trials of other numbers may cost at first


class Library(Protocol):
    """A BLAS library, as threadpoolctl sees it."""

    def get_num_threads(self) -> int | None: ...
    def set_num_threads(self, num_threads: int) -> Any: ...


class Pool:
    """The threads of the BLAS libraries, which everything in this process shares.

    A backend that runs asks for a number of threads, and the smallest number asked for is in force. The
    libraries get their own numbers back when the last backend has finished.
    """

    def __init__(self, libraries: list[Library]) -> None:
        self.libraries, self.lock = libraries, threading.Lock()
        self.asked: dict[object, int] = {}
        self.before: list[int] = []  # threads of each library before anything ran
        self.current: list[int] = []  # threads of each library now
        self.told = False  # whether a line has said that fewer threads are quicker
        self.latest = NOTHING
        self.credit = CREDIT  # seconds that trials of other numbers may cost

    def limit(self) -> int:
        """Return the most threads that may run: the libraries' number, but at most one for each core."""
        with self.lock:
            if not self.asked:
                self.before = [library.get_num_threads() or 1 for library in self.libraries]
                self.current = list(self.before)
            return min(max(self.before, default=openmp()), cores())

    def use(self, who: object, n: int) -> None:
        """Limit the libraries to n threads while `who` runs."""
        with self.lock:
            self.asked[who] = n
            self._apply(min(self.asked.values()))

    def leave(self, who: object) -> None:
        """Lift the limit of `who`, which has finished."""
        with self.lock:
            del self.asked[who]
            self._apply(min(self.asked.values(), default=max(self.before, default=1)))

    def join(self, library: Library) -> None:
        """Count one more library among these."""
        with self.lock:
            self.libraries.append(library)
            self.before.append(library.get_num_threads() or 1)
            self.current.append(self.before[-1])
            if self.asked:
                self._apply(min(self.asked.values()))

    def alone(self) -> bool:
        """Whether nothing else in this process is running."""
        return len(self.asked) == 1

    def _apply(self, n: int) -> None:
        for k, library in enumerate(self.libraries):
            if self.current[k] != (wanted := min(n, self.before[k])):
                library.set_num_threads(wanted)
                self.current[k] = wanted


@lru_cache(maxsize=1)
def blas() -> Pool:
    """Return the pool of this process, of the libraries that are loaded: NumPy's, and soon SciPy's."""
    return Pool(loaded())


def loaded() -> list[Any]:
    """Return the BLAS libraries that this process has loaded."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


@cache
def load() -> ModuleType:
    """Import SciPy's BLAS, which takes 0.1 s, and count its library among those of the pool."""
    from scipy.linalg import blas as routines

    pool, libraries = blas(), loaded()
    known = {library.filepath for library in list[Any](pool.libraries)}
    for library in libraries:
        if library.filepath not in known:
            pool.join(library)
    return routines


def openmp() -> int:
    """Return OMP_NUM_THREADS, or else the number of cores: for a BLAS that does not say how many it has."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) else cores()


def physical_cores() -> int:
    """Return the number of cores that this process may use, of which several CPUs may be hyper-threads."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(0)
    return len({_siblings(cpu) for cpu in cpus}) or cores()


@cache
def _siblings(cpu: int) -> str:
    """Return the CPUs that are hyper-threads of the same core, in words."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and by its container's quota."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(found, quota() or found)


@lru_cache(maxsize=1)
def quota() -> int | None:
    """Return how many cores the quota of this process's container is worth; None without one."""
    try:
        share, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return max(1, round(share / period))


if hasattr(os, "register_at_fork"):  # not on Windows; the lock may be held when a process forks
    os.register_at_fork(after_in_child=blas.cache_clear)
