"""The number of threads of one backend: what was asked for, or else at most what is allowed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from gpunn.backends.host.pool import Pool, blas, physical_cores

VARIABLE = "GPUNN_THREADS"
UNLIMITED = 1 << 30
CURRENT = 0.1  # seconds for which the limit that was read last is taken for the present one


class Kernels(Protocol):
    """Kernels with a number of threads of their own, on which their results do not depend."""

    threads: int


def from_environment() -> int | None:
    """Return GPUNN_THREADS. Raises ValueError unless it is a whole number of at least 1."""
    text = os.environ.get(VARIABLE, "").strip()
    if text and not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{VARIABLE} must be a whole number of at least 1, not '{text}'")
    return int(text) if text else None


@contextmanager
def using(n: int | None) -> Iterator[None]:
    """Let every backend that is made inside the `with` block use n threads, as GPUNN_THREADS does.

    None changes nothing.
    """
    before = os.environ.get(VARIABLE)
    try:
        if n is not None:
            os.environ[VARIABLE] = str(n)
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


class Threads:
    """The number of threads of one backend, as a context manager that holds while its calls run.

    Args:
        asked: the number that the user asked for; None to let it be chosen.
        kernels: the compiled kernels, if there are any.
        pool: the BLAS threads of this process.
        clock: the time in seconds.

    Attributes:
        calls_blas: compiled kernels leave something to BLAS, which then has one thread beside theirs.
        cap, most, now: the most for this run, the most at the moment, and the number in use.
    """

    def __init__(
        self,
        asked: int | None = None,
        kernels: Kernels | None = None,
        pool: Pool | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.asked = from_environment() if asked is None else asked
        self.pool, self.clock = pool or blas(), clock
        self.kernels, self.calls_blas = kernels, False
        limit = self.pool.limit()
        usual = physical_cores() if kernels else limit  # whose hyper-threads would share its arithmetic units
        self.cap = self.most = self.now = min(self.asked or usual, limit)
        self.read = clock()
        self.used: dict[int, float] = {}  # seconds since the last `take_used`, by number

    @property
    def exact(self) -> bool:
        """Whether the bits of the results are the same for any number."""
        return self.kernels is not None

    def __enter__(self) -> None:
        sets_blas = not self.kernels or self.calls_blas
        if sets_blas or (self.cap > 1 and self.clock() - self.read > CURRENT):
            most, self.read = min(self.cap, self.pool.limit()), self.clock()
            if most != self.most:
                self.most = self.now = most
        self._apply()

    def __exit__(self, *error: object) -> None:
        self.pool.leave(self)

    def use(self, n: int) -> int:
        """Use n threads from now on, or as many as are allowed; return the number."""
        n = min(n, self.most)
        if n != self.now:
            self.now = n
            self._apply()
        return n

    def _apply(self) -> None:
        if self.kernels:
            self.kernels.threads = self.now
            self.pool.use(self, 1 if self.calls_blas else UNLIMITED)
        else:
            self.pool.use(self, self.now)

    def go_on_with(self, n: int) -> int:
        """Use as many threads as a run so far, if they are allowed and matter; return the number."""
        if self.exact:
            return n
        if self.asked is None:
            self.cap = self.most = self.now = min(n, self.most)
        return self.now

    def count(self, n: int, seconds: float) -> None:
        """Note for how long n threads have computed."""
        self.used[n] = self.used.get(n, 0.0) + seconds

    def take_used(self) -> int | None:
        """Return the number of threads that has computed longest since the last call.

        None if there were several numbers and the bits depend on them.
        """
        used, self.used = self.used or {self.now: 0.0}, {}
        return max(used, key=used.__getitem__) if len(used) == 1 or self.exact else None
