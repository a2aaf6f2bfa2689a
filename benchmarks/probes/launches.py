"""Measure the cost of launching a kernel, and of letting blocks wait for each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probes.probe import MakeBackend, Probe, Row
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.source import preamble
from gpunn.functions.calls import Call, Calls

SOURCE = Path(__file__).with_suffix(".cu").read_text(encoding="utf-8")
KERNELS = 400  # in a graph
TIMES = 2000  # barriers or exchanges in a launch
ROUNDS = 5  # of which the fastest counts
THREADS = 256
GRIDS = (8, 16, 32, 66, 132)  # blocks, if the device has as many processors
CLUSTERS = (2, 4, 8)
NUMBERS = (32, 128)  # that a block sends to each other block
WORD = np.dtype("uint64")


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield the cost of each kind of launch and of each kind of barrier."""
    be = make("float32")
    for blocks, threads in ((1, 32), (be.device.processors, THREADS)):
        yield row("an empty kernel of a graph", blocks, threads, 0, seconds_a_kernel(be, blocks, threads))
    empty = launch(be, "nothing", 1, 32, 0)
    yield row("a launch from Python", 1, 32, 0, seconds_a_call(be, empty))
    yield row("a replay of a graph from Python", 1, 32, 0, seconds_a_call(be, be.device.capture([empty])))
    yield from grid_barriers(be)
    yield from cluster_barriers(be)


def seconds_a_kernel(be: Cuda, blocks: int = 1, threads: int = 32) -> float:
    """Return the time of an empty kernel in a graph, from one launch to the next."""
    empty = launch(be, "nothing", blocks, threads, 0)
    return fastest(be, [empty] * KERNELS) / KERNELS


def seconds_a_call(be: Cuda, call: Call) -> float:
    """Return the wall-clock time of a call from Python, of many in a row."""

    def once() -> float:
        be.device.mark()()
        start = time.perf_counter()
        for _ in range(KERNELS):
            call()
        be.device.mark()()
        return (time.perf_counter() - start) / KERNELS

    return min(once() for _ in range(ROUNDS))


def grid_barriers(be: Cuda) -> Iterator[Row]:
    """Yield the cost of a barrier of all blocks, which an atomic counter in device memory counts."""
    arrived = be.memory.new((1,), WORD)
    clear = launch(be, "clear", 1, 1, arrived)
    for blocks in GRIDS:
        if blocks <= be.device.processors and be.device.shared_bytes:
            wait = launch(be, "grid_barriers", blocks, THREADS, TIMES, arrived, together=True)
            yield row("a barrier of the grid", blocks, THREADS, 0, fastest(be, [clear, wait]) / TIMES)


def cluster_barriers(be: Cuda) -> Iterator[Row]:
    """Yield the cost of a cluster's barrier, and of an exchange through its shared memory."""
    for cluster in CLUSTERS:
        if cluster <= be.device.cluster:
            wait = launch(be, "cluster_barriers", cluster, THREADS, TIMES, cluster=cluster)
            yield row("a barrier of a cluster", cluster, THREADS, 0, fastest(be, [wait]) / TIMES)
            out = be.memory.new((cluster * THREADS,))
            for numbers in NUMBERS:
                shared = 2 * cluster * numbers * 4
                how: dict[str, Any] = {"cluster": cluster, "numbers": numbers, "shared": shared}
                swap = launch(be, "cluster_exchanges", cluster, THREADS, TIMES, out, **how)
                taken = fastest(be, [swap]) / TIMES
                yield row("an exchange in a cluster", cluster, THREADS, numbers, taken)


def row(what: str, blocks: int, threads: int, numbers: int, seconds: float) -> Row:
    """Return a row of the table."""
    return {"what": what, "blocks": blocks, "threads": threads, "numbers": numbers, "µs": 1e6 * seconds}


def launch(
    be: Cuda,
    kernel: str,
    blocks: int,
    threads: int,
    *arguments: int | Buffer,
    cluster: int = 1,
    numbers: int = 1,
    shared: int = 0,
    together: bool = False,
) -> Call:
    """Compile launches.cu for clusters of this size, and bind a launch of one of its kernels."""
    found = be.device.compile(source(be.memory.dtype, cluster, numbers), together=together)(kernel)
    return be.device.launch(found, blocks, threads, be.kernels.arguments(*arguments), shared)


def source(dtype: np.dtype[Any], cluster: int, numbers: int) -> str:
    """Return launches.cu with its definitions."""
    return f"{preamble(dtype)}#define CLUSTER {cluster}\n#define NUMBERS {numbers}\n{SOURCE}"


def fastest(be: Cuda, calls: Calls) -> float:
    """Return the shortest time of the calls as one graph, in seconds."""
    timer = be.device.timer(calls)
    return min(timer() for _ in range(ROUNDS))


PROBE = Probe(
    "launches",
    "launches and barriers",
    {
        "what": "what is measured",
        "blocks": "blocks of the launch; in a cluster, the size of the cluster",
        "threads": "threads of a block",
        "numbers": "float32 numbers that each block sends to every block of its cluster",
        "µs": f"microseconds each: the fastest of {ROUNDS} rounds of {KERNELS} launches or {TIMES:,} waits",
    },
    measure,
)
