"""Other workers for `gpunn sweep`: those of a Dask scheduler, or the other ranks of MPI."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.cli.output import remark
from gpunn.cli.ranks import launched_rank
from gpunn.names import counted, one_line

SECONDS = 10  # to wait for a scheduler's answer
RUN = "mpiexec -n 3 gpunn sweep … --mpi"


@dataclass(frozen=True)
class Cluster:
    """Workers that train the networks of a sweep in place of this machine's processes.

    Attributes:
        executor: hands them tasks.
        description: who they are, in words.
    """

    executor: Executor
    description: str


ranks: ContextVar[Cluster] = ContextVar("ranks")


@contextmanager
def connected(dask: str | None, mpi: bool) -> Iterator[Cluster | None]:
    """Give the workers that the options ask for, if they ask for any.

    Raises ValueError if they ask for both, no scheduler answers, or there is one MPI rank only; ImportError
    if Dask is not installed.
    """
    if dask and mpi:
        raise ValueError("--dask and --mpi exclude each other: choose where to train")
    if mpi:
        if ranks.get(None) is None:
            raise ValueError(f"--mpi needs two ranks or more, of which the first hands out the work: {RUN}")
        yield ranks.get()
    elif dask:
        with _client(dask) as client:
            yield Cluster(client.get_executor(), _described(client, dask))
    else:
        yield None


# Dask


def _client(address: str) -> Any:
    """Connect to a scheduler, by its address or its scheduler file."""
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise ImportError('--dask needs Dask: pip install "gpunn[cluster]"') from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # gpunn reports errors itself, in one line
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        if "address" in where:
            get_address_host_port(address, strict=True)
        return Client(**where, timeout=SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (
        Exception
    ) as error:  # OSError after the time limit; ValueError, MemoryError, … if it is no scheduler
        raise ValueError(
            f"--dask {address}: no scheduler answers there: {one_line(error)}; start one by: dask scheduler"
        ) from None


def _described(client: Any, address: str) -> str:
    """Describe the workers of a scheduler; say if there are none yet."""
    workers = client.nthreads()
    if not workers:
        remark(f"no worker has joined {address} yet: waiting for one (dask worker {address})")
    return f"by {counted(len(workers), 'worker')} of {address}" if workers else f"by the workers of {address}"


# MPI


@contextmanager
def among_ranks(arguments: Sequence[str]) -> Iterator[bool]:
    """Let the other ranks serve the first if --mpi asks for it; yield whether this process has served.

    Everything that the first rank does is within, even the complaint about a misspelt option, so that the
    others do not wait for it forever.
    """
    if "--mpi" not in arguments:
        yield False
        return
    leading = launched_rank() == 0
    if not leading:
        signal.signal(signal.SIGINT, interrupt_training)
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        if leading:
            raise ImportError(f'--mpi needs MPI: pip install "gpunn[mpi]" ({one_line(error)})') from None
        yield True
        return
    if MPI.COMM_WORLD.size == 1:
        yield False
        return
    executor: Any
    with MPICommExecutor(MPI.COMM_WORLD, root=0, main=False) as executor:
        if executor is not None:
            others = counted(MPI.COMM_WORLD.size - 1, "MPI rank")
            token = ranks.set(Cluster(executor, f"by {others} beside this one"))
            yield False
            ranks.reset(token)
    if executor is None:
        yield True


def interrupt_training(number: int, frame: Any) -> None:
    """Interrupt a rank's training after Ctrl-C, but not its messages to the first rank, which decides."""
    from gpunn.sweeps.shipping import perform

    while frame:
        if frame.f_code is perform.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back
