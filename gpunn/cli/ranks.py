"""`mpiexec -n 4 gpunn train …`: find the other ranks, and let rank 0 alone speak and write."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every command imports this module, and `gpunn --help` should be quick
    from gpunn.tables.options import TableOptions
    from gpunn.training.ranks import MpiRanks
    from gpunn.training.settings import Settings

#: The variables by which launchers tell a process how many there are and which one it is: MPICH and Intel
#: MPI, Open MPI, MVAPICH.
LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)


def place(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return the number of this process and how many a launcher of MPI has started; (0, 1) without one.

    >>> from gpunn.cli.ranks import place
    >>> place({"PMI_SIZE": "4", "PMI_RANK": "2"}), place({})
    ((2, 4), (0, 1))
    """
    for size, rank in LAUNCHERS:
        values = environment.get(size, ""), environment.get(rank, "")
        if all(value.isdecimal() for value in values):
            return int(values[1]), int(values[0])
    return 0, 1


def launched_rank() -> int:
    """Return the rank that a launcher gave this process, before MPI is there to ask; 0 without one."""
    names = *(rank for _, rank in LAUNCHERS), "PMIX_RANK"
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), 0)


def hush() -> None:
    """Print nothing from here on, unless this is rank 0 or there is no other rank."""
    if place()[0] > 0:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def started() -> MpiRanks | None:
    """Return the ranks that mpiexec has started; None for a single process.

    Raises ValueError if mpi4py is missing, or does not find the others.
    """
    _, size = place()
    if size == 1:
        return None
    from gpunn.training.ranks import ranks_of

    os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")  # the rank that fails says why
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"mpiexec started {size} processes, but mpi4py cannot be used ({why}): pip install 'gpunn[mpi]'"
        ) from None
    if MPI.COMM_WORLD.Get_size() == 1:
        raise ValueError(
            f"mpiexec started {size} processes, but mpi4py finds one: use the mpiexec of its own MPI, "
            f"{MPI.get_vendor()[0]}"
        )
    return ranks_of(MPI.COMM_WORLD)


def with_equal_memory(data: str | None, table: TableOptions, several: MpiRanks) -> TableOptions:
    """Give a table that may be streamed the same memory on every rank, because all read the same blocks."""
    from gpunn.tables.reading import holds_files
    from gpunn.tables.streaming.memory import limit

    if table.memory is not None or not holds_files(data):
        return table
    return replace(table, memory=str(several.least_share(limit(None))))


def check(settings: Settings, cv: int | None) -> None:
    """Raise ValueError for settings that train several networks, each of which ranks would share."""
    from gpunn.training.option import option_name

    if settings.networks > 1 or cv:
        asked = f"{option_name('ensemble')} {settings.networks}" if settings.networks > 1 else f"--cv {cv}"
        raise ValueError(
            f"mpiexec trains one network on several processes, but {asked} trains several: leave out mpiexec "
            "or that option"
        )
