"""Distribute work: in this process, over the cores of this machine, or by any other executor.

The work is a function of the data and of some items, which yields a result for each item. Nothing here knows
what the work is. Each process computes with one BLAS thread, since threads of several processes would disturb
each other.

Networks are not stacked within a process. Measured on one core, a step of 784-30-10 in mini-batches of 10
takes 23 µs by itself, and 26 µs or more with stacked products. A step of 784-64-10 in mini-batches of 32
takes 92 µs, of which its products are 62; 118 µs in stacks of 4 networks, and 131 µs in stacks of 32, whose
parameters do not fit the core's cache. Networks that share all calls but their products and updates, so that
their bits stay, gain a factor of 1.2 to 2.4 if they are as small as 64-30-10, and nothing if larger.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import current_process
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

import joblib
from joblib import cpu_count, wrap_non_picklable_objects

# The package loky has this name, too, but its resource tracker and joblib's complain of each other's files.
from joblib.externals.loky.backend import resource_tracker
from threadpoolctl import threadpool_limits

from gpunn.names import one_line
from gpunn.sweeps.processes import Processes, processes_of

D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")
Work: TypeAlias = Callable[[D, Sequence[T]], Iterator[R]]

SHORT = 2.0  # seconds of work that do not pay for starting worker processes
TASK = 0.2  # seconds of work that a task should have at least
AHEAD = 2  # tasks a worker that have been submitted, so that no worker waits for this process


@dataclass(frozen=True)
class Job(Generic[D, T, R]):
    """Work to be done on items.

    Attributes:
        work: yields a result for each of the items that it is given, in their order.
        seconds: estimates how long an item takes on one core.
        take: receives each result in this process, as soon as it is known; an error that it raises ends the
            job.
        lost: makes the result of an item whose process died twice, from the item and the reason.
    """

    work: Work[D, T, R]
    seconds: Callable[[T], float]
    take: Callable[[T, R], object]
    lost: Callable[[T, str], R]


class Workers(Generic[D]):
    """Processes, or an executor's workers, which share the data in a memory-mapped file.

    The local processes start when there is enough work, and stay for later sweeps. Use it as a context
    manager: at its end the file is removed.

    Args:
        data: what all the work needs.
        executor: does the work; None for one process a core of this machine.
        folder: where the file lies, for executors whose workers are on other machines; None for a temporary
            folder.
    """

    def __init__(self, data: D, executor: Executor | None = None, folder: Path | None = None) -> None:
        self.data, self.executor, self.folder = data, executor, folder
        self.shared: Path | None = None

    def __enter__(self) -> Workers[D]:
        self.limits = threadpool_limits(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.limits.restore_original_limits()
        if self.shared:
            shutil.rmtree(self.shared, ignore_errors=True)
            if self.executor is None:
                resource_tracker.unregister(str(self.shared), "folder")

    def run(self, job: Job[D, T, R], items: Sequence[T]) -> None:
        """Do a job on all the items. Ctrl-C ends it, after the results that are known have been taken."""
        if self.executor is None and not self._pays(job, items):
            for item in items:
                for result in job.work(self.data, [item]):
                    job.take(item, result)
            return
        items = sorted(items, key=job.seconds, reverse=True)  # the longest first, so that all end together
        lost = self._attempt(job, batched(items, job.seconds))
        again = [[item] for batch, _ in lost for item in batch]
        for (item,), reason in self._attempt(job, again):
            job.take(item, job.lost(item, reason))

    def _pays(self, job: Job[D, T, R], items: Sequence[T]) -> bool:
        """Whether worker processes would be quicker than this process, which may be a worker itself."""
        alone = len(items) == 1 or cpu_count() == 1 or current_process().name != "MainProcess"
        return not alone and sum(map(job.seconds, items)) > SHORT

    def _attempt(self, job: Job[D, T, R], batches: Sequence[list[T]]) -> list[tuple[list[T], str]]:
        """Do the work in batches; return those that were lost with their process, and the reasons."""
        waiting, lost = deque(batches), []
        most = len(waiting) if self.executor else AHEAD * cpu_count()
        running: dict[Future[list[R]], list[T]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    batch = waiting.popleft()
                    running[self._submit(job.work, batch)] = batch
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    batch = running.pop(future)
                    try:
                        results = future.result()
                    except Exception as error:  # of the executor: the work's own errors are results
                        lost.append((batch, one_line(error)))
                        continue
                    for item, result in zip(batch, results, strict=True):
                        job.take(item, result)
        except BaseException:
            self._abandon(job, running)
            raise
        return lost

    def _submit(self, work: Work[D, T, R], batch: list[T]) -> Future[list[R]]:
        """Submit a task. An executor that is broken makes a future with its error."""
        task = partial(perform, work, self._share(), batch)
        if self.executor is None:
            return local_processes().submit(task)
        try:
            return self.executor.submit(wrap_non_picklable_objects(task, keep_wrapper=False))
        except RuntimeError as error:  # concurrent.futures.BrokenExecutor is one
            future: Future[list[R]] = Future()
            future.set_exception(error)
            return future

    def _share(self) -> Source:
        """Write the data for the workers, once."""
        if self.shared is None:
            if self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
            self.shared = Path(tempfile.mkdtemp(prefix="gpunn-sweep-", dir=self.folder)).absolute()
            if self.executor is None:  # removes the file even if this process is killed
                resource_tracker.register(str(self.shared), "folder")
            try:
                joblib.dump(self.data, self.shared / "data")
            except OSError as error:
                why = f"{error.strerror}: set TMPDIR to a folder with more room"
                raise OSError(f"cannot write the data for the workers to {self.shared}: {why}") from None
        return Source(self.shared / "data", here())

    def _abandon(self, job: Job[D, T, R], running: dict[Future[list[R]], list[T]]) -> None:
        """Take the results that are known, and end the rest."""
        for future, batch in running.items():
            if not future.cancel() and future.done() and not future.exception():
                for item, result in zip(batch, future.result(), strict=True):
                    with suppress(Exception, KeyboardInterrupt):
                        job.take(item, result)
        while self.executor is None and wait(running, timeout=0.01).not_done:
            local_processes().kill()


def batched(items: Sequence[T], seconds: Callable[[T], float]) -> list[list[T]]:
    """Put neighbouring items into batches of at least TASK seconds."""
    batches: list[list[T]] = []
    left = 0.0
    for item in items:
        if left <= 0:
            batches.append([])
            left = TASK
        batches[-1].append(item)
        left -= seconds(item)
    return batches


def local_processes() -> Processes:
    """Return the worker processes of this machine, one a core, which are kept warm."""
    return processes_of(os.getpid(), cpu_count())


# in a worker


@dataclass(frozen=True)
class Source:
    """The file of the data, written by the process `home`."""

    path: Path
    home: tuple[str, int]


def here() -> tuple[str, int]:
    """Return the machine and the process."""
    return platform.node(), os.getpid()


def perform(work: Work[D, T, R], source: Source, items: list[T]) -> list[R]:
    """Do the work on some items."""
    if here() != source.home:
        use_one_thread()
    return list(work(load(source.path), items))


@lru_cache(maxsize=1)
def load(path: Path) -> Any:
    """Map the data into memory, where all the workers on a machine share it."""
    try:
        return joblib.load(path, mmap_mode="r")
    except OSError:
        raise OSError(
            f"the worker on {platform.node()} cannot read {path}: pass a folder that all workers share"
        ) from None


@lru_cache(maxsize=1)
def use_one_thread() -> Any:
    """Limit BLAS to one thread, for as long as this process lives."""
    return threadpool_limits(1)
