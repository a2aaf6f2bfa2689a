"""Work for the workers of a cluster, and data that count how often they are unpickled."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from gpunn.sweeps.engine import Job, Workers

ROOT = Path(__file__).parents[2]


class Counted:
    """Data that leave a file with the process's number whenever they are unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        (self.folder / f"{os.getpid()}-{secrets.token_hex(4)}").touch()

    def arrivals(self) -> dict[str, int]:
        """Count the times that each process unpickled the data."""
        processes = [path.name.split("-")[0] for path in self.folder.glob("*-*")]
        return {process: processes.count(process) for process in processes}


def run(data: Any, work: Callable[..., Iterator[Any]], items: Sequence[Any], executor: Any) -> list[Any]:
    """Do a job by an executor, an item a task; return the results in the order of the items."""
    found: dict[Any, Any] = {}
    job = Job(work, lambda item: 1.0, found.__setitem__, lambda item, reason: f"lost: {reason}")
    with Workers(data, executor) as workers:
        workers.run(job, items)
    return [found[item] for item in items]


def meet(data: Any, items: Sequence[int], folder: Path, workers: int) -> Iterator[int]:
    """Wait until so many processes work at the same time; yield the number of the process."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < workers:
        time.sleep(0.01)
    yield from (os.getpid() for _ in items)


class Deadly:
    """A score that kills its process the first few times that it is asked for.

    Args:
        folder: where it counts them.
        times: how often.
    """

    def __init__(self, folder: Path, times: int) -> None:
        self.folder, self.times = folder, times

    @property
    def killed(self) -> int:
        """How many processes it has killed."""
        return len(list(self.folder.iterdir()))

    def __call__(self, outputs: Any) -> float:
        if (killed := self.killed) < self.times:
            (self.folder / str(killed)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5


def mpi(ranks: int, *arguments: object) -> list[str]:
    """Return the command that runs Python on so many MPI ranks of this machine."""
    launcher = Path(sys.executable).with_name("mpiexec")
    return [str(launcher), "-n", str(ranks), sys.executable, *map(str, arguments)]


def running(mark: str) -> list[int]:
    """Return the processes whose command has this word."""
    processes = psutil.process_iter(["cmdline"])
    return [process.pid for process in processes if mark in " ".join(process.info["cmdline"] or ())]
