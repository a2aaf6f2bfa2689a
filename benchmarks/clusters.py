"""Measure what a cluster costs on one machine: `mpiexec -n 3 python -m benchmarks.clusters`.

The same sweeps are trained by the processes of this machine, by a local Dask cluster of two workers, and by
two MPI ranks; they take turns. The workers have one BLAS thread each. The results are written to
cpu-clusters.json. "First" is the first sweep of these data, with the import of gpunn by the workers in the
very first sweep. The start of the processes is not in it, except for the local sweep, which starts its own.
"Later" is the median of the sweeps that follow.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import timeit
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import gpunn
from benchmarks import machine
from gpunn.sweeps import engine

RESULTS = Path(__file__).parent / "results" / "cpu-clusters.json"
WORKERS, NETWORKS, ROUNDS = 2, 32, 5
PART = 10_000  # examples of MNIST
MASTER = 11  # the real-time priority of the master, above that of the workers, which could keep it waiting


def sweeps(data_dir: Path | None) -> dict[str, Callable[[Executor | None], gpunn.SweepResult]]:
    """Return the sweeps by name: of networks that train for a fraction of a second, and for milliseconds."""
    mnist, digits = gpunn.datasets.load("mnist", data_dir=data_dir).train, gpunn.datasets.load("digits").train

    def of(X: Any, y: Any, hidden: int) -> Callable[[Executor | None], gpunn.SweepResult]:
        layers = [gpunn.Dense(hidden, "sigmoid"), gpunn.Dense(10, "softmax")]
        options: dict[str, Any] = {"epochs": 1, "batch_size": 10, "optimizer": "sgd", "device": "cpu"}
        return lambda executor: gpunn.sweep(X, y, layers, executor=executor, seeds=NETWORKS, **options)

    return {
        f"784-30-10 on {PART:,} examples": of(mnist.X[:, :PART], mnist.y[:PART], 30),
        f"64-16-10 on {len(digits.y):,} examples": of(digits.X, digits.y, 16),
    }


def measure(executors: dict[str, Executor | None], data_dir: Path | None) -> list[dict[str, Any]]:
    """Measure each sweep by each executor, in turns; return a row for each pair."""
    rows = []
    for sweep, train in sweeps(data_dir).items():
        first = {name: _seconds(train, executor) for name, executor in executors.items()}
        times: dict[str, list[float]] = {name: [] for name in executors}
        for _ in range(ROUNDS):
            for name, executor in executors.items():
                times[name].append(_seconds(train, executor))
        rows += [
            {
                "sweep": sweep,
                "workers": name,
                "networks": NETWORKS,
                "first": first[name],
                "seconds": statistics.median(times[name]),
                "all": times[name],
            }
            for name in executors
        ]
    return rows


def _seconds(train: Callable[[Executor | None], gpunn.SweepResult], executor: Executor | None) -> float:
    """Return the seconds of a sweep. Raises RuntimeError if a network was not trained."""
    start = timeit.default_timer()
    result = train(executor)
    seconds = timeit.default_timer() - start
    if set(result.table.column("status")) != {"done"}:
        raise RuntimeError(f"a sweep was not trained: {result}")
    return seconds


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of the results."""
    table = Table("sweep of 32 networks", "workers", "first, s", "later, s", box=None)
    for row in rows:
        table.add_row(row["sweep"], row["workers"], f"{row['first']:.2f}", f"{row['seconds']:.3f}")
    Console().print(table)


def main() -> int:
    """Measure on rank 0, while the other ranks serve it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST's files")
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    from mpi4py import MPI  # not by Dask's processes, which import this module and are no ranks
    from mpi4py.futures import MPICommExecutor

    if MPI.COMM_WORLD.size != WORKERS + 1:
        print(f"run it by mpiexec -n {WORKERS + 1} python -m benchmarks.clusters", file=sys.stderr)
        return 2
    engine.SHORT = 0  # let worker processes train even the short sweep, to compare their cost
    mpi: Any
    with MPICommExecutor(MPI.COMM_WORLD, root=0, main=False) as mpi:
        if mpi is not None:
            begin_and_measure(mpi, chosen)
    return 0


def begin_and_measure(mpi: Any, chosen: argparse.Namespace) -> None:
    """Start a Dask cluster, measure, and write the results."""
    import distributed

    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(WORKERS, **options) as cluster,  # type: ignore[no-untyped-call]
        distributed.Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(MASTER))
        executors = {"processes": None, "Dask": client.get_executor(), "MPI": mpi}
        rows = measure(executors, chosen.data_dir)
    versions = {name: metadata.version(name) for name in ("distributed", "mpi4py", "mpich")}
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    found = {"time": when, "machine": machine.describe(), "versions": versions, "rows": rows}
    chosen.output.write_text(json.dumps(found, indent=1) + "\n")
    show(rows)


if __name__ == "__main__":
    sys.exit(main())
