"""Distribute work: in this process, over the cores of this machine, or by any other executor.

The work is a function of the data and of some items, which yields a result for each item. Nothing here knows
what the work is. Each process computes with one thread, since threads of several processes would disturb
each other.

Networks are not stacked within a process: compiled kernels leave nothing of a step to share. On one core of a
Xeon with AVX-512, a step of 784-30-10 in mini-batches of 10 takes 12 µs, and one of 64-30-10 takes 3 µs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import current_process
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from joblib import cpu_count
from threadpoolctl import threadpool_limits

from gpunn.backends.host.pool import load
from gpunn.names import one_line
from gpunn.sweeps.executors import AHEAD, ExecutorPool, ended
from gpunn.sweeps.processes import Processes, processes_of
from gpunn.sweeps.shipping import Shipment, Work, perform

D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")

SHORT = 1.5  # seconds of work that do not pay for starting worker processes
SHORTER = 0.4  # seconds of work that do not pay for asking those that an earlier sweep has started
TASK = 0.2  # seconds of work that a task should have at least


@dataclass(frozen=True)
class Job(Generic[D, T, R]):
    """Work to be done on items.

    Attributes:
        work: yields a result for each of the items that it is given, in their order.
        seconds: estimates how long an item takes on one core.
        take: receives each result in this process, as soon as it is known; an error that it raises ends the
            job.
        lost: makes the result of an item whose worker died twice, from the item and the reason.
        divide: divides the items into one share or more for each of so many workers of an executor; None for
            tasks of at least `TASK` seconds.
    """

    work: Work[D, T, R]
    seconds: Callable[[T], float]
    take: Callable[[T, R], object]
    lost: Callable[[T, str], R]
    divide: Callable[[Sequence[T], int], list[list[T]]] | None = None


class Pool(Protocol):
    """Workers that do tasks: the processes of this machine, or those of an executor.

    Attributes:
        most: how many tasks to submit ahead of their results.
        workers: how many tasks are done at a time.
    """

    @property
    def most(self) -> float: ...
    @property
    def workers(self) -> int: ...

    def submit(self, work: Work[Any, T, R], items: list[T], *, again: bool = False) -> Future[Any]:
        """Submit a task; again, with the data, if its worker lacked them."""

    def abandon(self, running: Sequence[Future[Any]]) -> None:
        """End the tasks that could not be cancelled, if there is a way."""

    def close(self) -> None:
        """Let the data go."""


class Workers(Generic[D]):
    """Processes, or an executor's workers, which share the data.

    The local processes start when there is enough work, and stay for later sweeps. Use it as a context
    manager: at its end the data are let go.

    Args:
        data: what all the work needs.
        executor: does the work; None for one process a core of this machine.
        folder: where the file of the data lies, for executors whose workers may be on other machines; None
            for a temporary folder.
    """

    def __init__(self, data: D, executor: Executor | None = None, folder: Path | None = None) -> None:
        self.data, self.executor, self.folder = data, executor, folder
        self._pool: Pool | None = None

    def __enter__(self) -> Workers[D]:
        load()  # so that the limit holds for SciPy's BLAS, too
        self.limits = threadpool_limits(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.limits.restore_original_limits()
        if self._pool:
            self._pool.close()

    @property
    def pool(self) -> Pool:
        """The workers, once they are needed."""
        if self._pool is None:
            local, given = self.executor is None, (self.data, self.executor, self.folder)
            self._pool = LocalPool(self.data) if local else ExecutorPool(*given)
        return self._pool

    def run(self, job: Job[D, T, R], items: Sequence[T]) -> None:
        """Do a job on all the items. Ctrl-C ends it, after the results that are known have been taken.

        Raises WorkersEnded if all workers of the executor have ended.
        """
        if self.executor is None and not self._pays(job, items):
            for item in items:
                for result in job.work(self.data, [item]):
                    job.take(item, result)
            return
        if not items:
            return
        items = sorted(items, key=job.seconds, reverse=True)  # the longest first, so that all end together
        batches = job.divide(items, self.pool.workers) if job.divide else batched(items, job.seconds)
        lost = self._attempt(job, batches)
        again = [[item] for batch, _ in lost for item in batch]
        for (item,), reason in self._attempt(job, again):
            job.take(item, job.lost(item, reason))

    def _pays(self, job: Job[D, T, R], items: Sequence[T]) -> bool:
        """Whether worker processes would be quicker than this process, which may be a worker itself."""
        alone = len(items) == 1 or cpu_count() == 1 or current_process().name != "MainProcess"
        short = min(SHORT, SHORTER) if local_processes().workers else SHORT
        return not alone and sum(map(job.seconds, items)) > short

    def _attempt(self, job: Job[D, T, R], batches: Sequence[list[T]]) -> list[tuple[list[T], str]]:
        """Do the work in batches; return those that were lost with their worker, and the reasons."""
        waiting, lost = deque(batches), []
        running: dict[Future[Any], list[T]] = {}
        ready: SimpleQueue[Future[Any]] = SimpleQueue()

        def submit(batch: list[T], again: bool = False) -> None:
            future = self.pool.submit(job.work, batch, again=again)
            running[future] = batch
            future.add_done_callback(ready.put)

        try:
            while waiting or running:
                while waiting and len(running) < self.pool.most:
                    submit(waiting.popleft())
                future = ready.get()
                batch = running.pop(future)
                try:
                    results = future.result()
                except (BrokenExecutor, CancelledError) as error:
                    raise ended(error) from None
                except Exception as error:  # of the worker: the work's own errors are results
                    lost.append((batch, one_line(error)))
                    continue
                if results is None:
                    submit(batch, again=True)
                    continue
                for item, result in zip(batch, results, strict=True):
                    job.take(item, result)
        except BaseException:
            self._abandon(job, running)
            raise
        return lost

    def _abandon(self, job: Job[D, T, R], running: dict[Future[Any], list[T]]) -> None:
        """Take the results that are known, and end the rest."""
        for future, batch in running.items():
            if not future.cancel() and future.done() and not future.exception():
                for item, result in zip(batch, future.result() or (), strict=False):
                    with suppress(Exception, KeyboardInterrupt):
                        job.take(item, result)
        self.pool.abandon(list(running))


class LocalPool(Generic[D]):
    """The worker processes of this machine, one a core, which map the file of the data into memory."""

    def __init__(self, data: D) -> None:
        self.shipment = Shipment(data)
        self.shipment.to_file()

    @property
    def workers(self) -> int:
        """How many tasks are done at a time."""
        return int(cpu_count())

    @property
    def most(self) -> float:
        """How many tasks to submit ahead of their results."""
        return AHEAD * self.workers

    def submit(self, work: Work[Any, T, R], items: list[T], *, again: bool = False) -> Future[Any]:
        """Submit a task."""
        return local_processes().submit(partial(perform, work, self.shipment.parcel, items))

    def abandon(self, running: Sequence[Future[Any]]) -> None:
        """Kill the processes until all tasks have ended."""
        while wait(running, timeout=0.01).not_done:
            local_processes().kill()

    def close(self) -> None:
        """Remove the file."""
        self.shipment.close()


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


def shares(items: Sequence[T], workers: int) -> list[list[T]]:
    """Deal items out to workers, so that each has about as many of the long ones, which come first."""
    return [list(items[k::workers]) for k in range(min(workers, len(items)))]


def local_processes() -> Processes:
    """Return the worker processes of this machine, one a core, which are kept warm."""
    return processes_of(os.getpid(), cpu_count())
