"""The number of threads that BLAS uses: all that it may, or one if other processes keep the cores busy.

The threads of a product wait for each other. Beside busy processes, a product of 0.1 ms can take 60 ms with
two threads. Trials therefore time the largest product of a step with one thread and with all. They write into
scratch memory and never change what is learnt, since the last bits of a product may depend on the number of
threads: OpenBLAS divides long sums in other places if it shares the product.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gpunn.backends.host.pool import Pool, blas
from gpunn.functions.calls import Call

VARIABLE = "GPUNN_THREADS"
SPEED = 4e10  # multiply-adds a second, to guess how long the first trial takes
SHORTEST = 2e-4  # seconds that one thread should be busy in a trial
BRIEF = 2e-3  # seconds that trials may take together, since a busy machine is quick at times
FREE = 2e-2  # seconds: a trial as short as this precedes the first step
COST = 0.01  # trials take at most this part of the time
PAUSE = 0.1  # seconds between trials
RECENT = 10  # seconds for which a new backend trusts that the machine is busy
WORSE, LOST = 1.25, 2  # all threads lose if they are slower than this, in this many
LONG = 3e-2  # seconds: longer than another process disturbs a machine that is otherwise quiet
LAST = 10  # of the last trials; they come back after winning as many in a row

# Logged, not warned: a busy machine must not end a program that turns warnings into errors.
log = logging.getLogger("gpunn")


@dataclass(eq=False)
class Product:
    """The largest product of a plan, into scratch memory.

    Attributes:
        work: its multiply-adds.
        quickest: the shortest time that it has taken with one thread, in seconds.
    """

    call: Call
    work: int
    quickest: float | None = None

    @property
    def seconds(self) -> float:
        """The seconds that it takes with one thread on a quiet machine."""
        return self.quickest or self.work / SPEED

    @property
    def trial(self) -> float:
        """The seconds that a trial takes on a quiet machine."""
        return 3 * max(SHORTEST, self.seconds)


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


def is_lost(one: float, many: float) -> bool:
    """Whether all threads took clearly longer than one."""
    return many > WORSE * one


class Threads:
    """The number of threads of one backend, as a context manager that holds while its calls run.

    Args:
        asked: the number that the user asked for; None to let trials choose.
        pool: the threads of this process.
        clock: the time in seconds.
    """

    def __init__(
        self,
        asked: int | None = None,
        pool: Pool | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.asked = from_environment() if asked is None else asked
        self.pool, self.clock = pool or blas(), clock
        limit = self.pool.limit()
        # the most for this run, the most at the moment, and the number in use
        self.cap = self.most = self.now = min(self.asked or limit, limit)
        self.used: set[int] = set()
        self.trials: deque[tuple[float, float]] = deque(maxlen=LAST)  # seconds with one thread and with all
        self.due: float | None = None
        self.spent = 0.0  # seconds that the last trials took

    def __enter__(self) -> None:
        if (most := min(self.cap, self.pool.limit())) != self.most:  # the limit has changed
            self.most = self.now = most
        self.pool.use(self, self.now)

    def __exit__(self, *error: object) -> None:
        self.pool.leave(self)

    def go_on_with(self, n: int) -> int:
        """Use as many threads as a run so far, if they are allowed; return the number that is used."""
        if self.asked is None:
            self.now = min(n, self.most)
            if n > 1:
                self.cap = self.most = self.now
        return self.now

    def take_used(self) -> int | None:
        """Return the number of threads since the last call; None if there were several numbers."""
        used, self.used = self.used or {self.now}, set()
        return used.pop() if len(used) == 1 else None

    # trials

    def before_chunk(self, product: Product, training: bool) -> None:
        """Try both numbers of threads if it is time to, and note the number that is used.

        training: whether it pays to try before anything is computed.
        """
        if not (self.asked or self.most == 1) and self.pool.alone():
            self._try_if_due(product, training)
        self.used.add(self.now)

    def _try_if_due(self, product: Product, training: bool) -> None:
        now = self.clock()
        if self.due is None and self.pool.busy is not None and now - self.pool.busy < RECENT:
            self.due = self.pool.busy + RECENT
            self._change(1)
        if self.due is None:
            at_once = training and product.trial <= FREE
            self.due = now if at_once else now + product.trial / COST
        if now >= self.due:
            self._try(product)
            self.due = now if self._undecided() else now + max(PAUSE, self.spent / COST)

    def _try(self, product: Product) -> None:
        """Make a few trials, and choose by them and those before."""
        enough, begun = max(2, int(BRIEF / product.trial)), self.clock()
        for k in range(1, LAST // 2 + 1):
            self.trials.append(self._trial(product))
            if self._all_lose() or (self.now == 1 and is_lost(*self.trials[-1])):
                break
            if k >= enough and not self._undecided():
                break
        self.spent = self.clock() - begun
        self._decide()
        if self.now > 1:  # a busy machine makes trials long, which then must not be rare
            self.spent = min(self.spent, 2 * k * product.trial)

    def _decide(self) -> None:
        """Choose the number of threads by the last trials."""
        if self._all_lose():
            self._tell(self._slower())
            self._change(1)
            self.pool.busy = self.clock()
        elif self.now == 1 and len(self.trials) == LAST and not self._lost() and self._slower() < 1:
            self._change(self.most)
            self.pool.busy = None
        else:
            self.pool.use(self, self.now)
            if self.now == 1 and is_lost(*self.trials[-1]):
                self.pool.busy = self.clock()

    def _undecided(self) -> bool:
        """Whether all threads are in use, and were slower, but not often enough to be sure."""
        return self.now > 1 and self._slower() > WORSE and self._lost() < LOST

    def _all_lose(self) -> bool:
        """Whether all threads are in use, and were slower often enough."""
        return self.now > 1 and self._slower() > WORSE and self._lost() >= LOST

    def _trial(self, product: Product) -> tuple[float, float]:
        """Return the seconds with one thread and with all, which are not waited for to the end if slow."""
        call, times = product.call, 1 + int(SHORTEST / product.seconds)
        one = self._timed(call, 1, times)
        product.quickest = min(product.quickest or one, one / times)
        woken = self._timed(call, self.most, 1)  # sleeping threads need a moment
        most = 4 * one + 1e-3
        return one, woken if woken > most else self._timed(call, self.most, times, most)

    def _timed(self, call: Call, n: int, times: int, most: float = float("inf")) -> float:
        self.pool.use(self, n)
        seconds, begun = 0.0, self.clock()
        for _ in range(times):
            call()
            seconds = self.clock() - begun
            if seconds > most:
                break
        return seconds

    def _lost(self) -> int:
        """Count the trials that all threads lost, and those with a long wait twice."""
        return sum(is_lost(one, many) * (1 + (many - one > LONG)) for one, many in self.trials)

    def _slower(self) -> float:
        """Return how many times longer all threads took than one."""
        one, many = (sum(seconds) for seconds in zip(*self.trials, strict=True)) if self.trials else (1, 0)
        return many / one

    def _change(self, n: int) -> None:
        self.now = n
        self.pool.use(self, n)
        self.trials.clear()

    def _tell(self, slower: float) -> None:
        """Say, once in a process, that one thread goes on."""
        if not self.pool.told:
            log.warning(
                "gpunn: %d threads are %.1f times slower than one beside other busy processes; one goes on, "
                "which may change the last bits (--threads, fit(threads=N) or %s sets the number)",
                self.most,
                slower,
                VARIABLE,
            )
        self.pool.told = True
