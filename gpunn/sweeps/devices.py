"""The device of a worker: on a machine with several GPUs, each worker has one of its own."""

from __future__ import annotations

import os
from functools import lru_cache
from multiprocessing import current_process

from gpunn import backends

#: Where launchers say which of the processes on a machine this one is: Open MPI, MPICH and Intel MPI, PALS,
#: Slurm.
LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "SLURM_LOCALID")


@lru_cache
def own(device: str) -> str:
    """Return the device of this worker for "auto" or "cuda"; any other device stays as it is."""
    count = backends.count_cuda() if device in ("auto", "cuda") else 0
    if count < 2:
        return device
    index = place() % count
    return device if backends.explain_cuda(index) else f"cuda:{index}"


def place() -> int:
    """Return the number of this process among the workers on its machine, from 0.

    Without a launcher's local rank, it is the number of the process in its pool; 0 if CUDA_VISIBLE_DEVICES is
    set, because Dask-CUDA sets it to give each worker its own device.
    """
    for name in LOCAL_RANKS:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    if os.environ.get("CUDA_VISIBLE_DEVICES"):
        return 0
    identity: tuple[int, ...] = getattr(current_process(), "_identity", ())
    return identity[-1] - 1 if identity else 0


def kind(device: str, dtype: str, precision: str | None) -> str:
    """Return the kind of this worker's device, "cpu" or "cuda"; a sweep's networks say if there is none."""
    try:
        return "cpu" if backends.choose(own(device), dtype, precision).name == "cpu" else "cuda"
    except (ValueError, backends.BackendError):
        return "cpu"
