"""Worker processes of this machine.

Each process has a pipe of its own and does one task at a time, so that a task that ends its process costs the
others nothing. An executor of loky or of the standard library would lose all the tasks that it was given.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from multiprocessing import Pipe
from typing import Any, TypeVar

# The package loky has these names, too, but its resource tracker and joblib's complain of each other's files.
from joblib.externals.loky.backend import get_context
from joblib.externals.loky.backend.reduction import dumps, loads

from gpunn.names import one_line

R = TypeVar("R")

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has SIGTERM alone, which ends a process as well
IDLE = 300.0  # seconds after which an idle process ends
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")


class ProcessDied(RuntimeError):
    """The process of a task ended before the task did."""


class Processes:
    """Several worker processes, which start with the first tasks and stay for later ones.

    Args:
        most: the number of processes.
    """

    def __init__(self, most: int) -> None:
        self.threads = ThreadPoolExecutor(most, "gpunn-worker")  # each waits for a process
        self.local, self.starting = threading.local(), threading.Lock()
        self.workers: set[Worker] = set()

    def submit(self, task: Callable[[], R]) -> Future[R]:
        """Do a task in one of the processes."""
        return self.threads.submit(self._do, task)

    def _do(self, task: Callable[[], R]) -> R:
        """Do a task in the process of this thread.

        Raises ProcessDied if that ends, or RuntimeError if the task cannot be read or its result be sent.
        """
        pickled = dumps(task)
        while True:
            worker = self._worker()
            try:
                done, answer = worker.do(pickled)
                break
            except (EOFError, OSError):
                self.workers.discard(worker)
                if code := worker.end():  # 0: it was idle for long, and ended just now
                    raise ProcessDied(_explain(code)) from None
        if not done:
            raise RuntimeError(answer)
        result: R = answer
        return result

    def _worker(self) -> Worker:
        """Return the worker of this thread, a new one unless it has one."""
        worker: Worker | None = getattr(self.local, "worker", None)
        if worker is None or worker not in self.workers:
            with self.starting:
                worker = self.local.worker = Worker()
            self.workers.add(worker)
        return worker

    def kill(self) -> None:
        """End all processes at once; the tasks that they were doing raise ProcessDied."""
        for worker in list(self.workers):
            if worker.process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, KILL)


class Worker:
    """A process, and the pipe to it."""

    def __init__(self) -> None:
        self.pipe, other_end = Pipe()
        how: dict[str, Any] = {"args": (other_end, os.getpid()), "env": ONE_THREAD, "daemon": True}
        self.process: Any = get_context("loky").Process(target=serve, **how)
        self.process.start()
        other_end.close()

    def do(self, pickled: bytes) -> tuple[bool, Any]:
        """Do a task; return whether that went well, and the result, or the reason why not.

        Raises EOFError or OSError if the process ends.
        """
        self.pipe.send_bytes(pickled)
        answer: tuple[bool, Any] = loads(self.pipe.recv_bytes())
        return answer

    def end(self) -> int:
        """Wait for a process that is ending; return its exit code."""
        self.pipe.close()
        self.process.join()
        code: int | None = self.process.exitcode
        return -KILL if code is None else code  # None: another thread has just asked for it, too


def _explain(code: int) -> str:
    """Say how a process ended."""
    if code == -KILL:
        return "it was killed, as when memory runs out"
    return f"it ended by signal {-code}" if code < 0 else f"its exit code was {code}"


@lru_cache(maxsize=1)
def processes_of(parent: int, most: int) -> Processes:
    """Return the worker processes of the process `parent`, since a fork does not inherit them."""
    return Processes(most)


# in a worker


def serve(pipe: Any, parent: int) -> None:
    """Do the tasks that come through the pipe, until it is closed, or nothing comes for long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the parent, too, which decides
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    with suppress(EOFError, OSError):  # the parent ended
        while pipe.poll(IDLE):
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(pickled: bytes) -> bytes:
    """Do a task; return whether that went well, and the result, or the reason why not, pickled."""
    try:
        answer: bytes = dumps((True, loads(pickled)()))
    except Exception as error:
        answer = dumps((False, one_line(error)))
    return answer


def _end_with(parent: int) -> None:
    """End this process, whatever it is doing, if its parent is killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
