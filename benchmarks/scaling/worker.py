"""A rank of the measurement: `mpiexec -n 2 python -m benchmarks.scaling.worker`; rank 0 prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from mpi4py import MPI

from benchmarks.nets import Net
from benchmarks.scaling.networks import NETS, parameters
from gpunn import SGD
from gpunn.training.ranks import MpiRanks

WORLD = MPI.COMM_WORLD
EPOCH = 10**7  # parameters × steps of an epoch
FLOATS = [4**k for k in range(13)]  # of the sums that are timed, to 64 MiB


def rates(net: Net, batch_size: int, seconds: float) -> list[float]:
    """Return the examples/s of epochs of a few steps, for about so many seconds, but for the first one."""
    rng = np.random.default_rng(0)
    m = max(2, EPOCH // parameters(net)) * batch_size
    X, labels = rng.integers(0, 256, (net.sizes[0], m), np.uint8), rng.integers(0, 10, m)
    end, found = time.perf_counter() + seconds, []

    def note(record: Any) -> bool:
        found.append(record.examples_per_second)
        return len(found) > 2 and time.perf_counter() > end

    ways: dict[str, Any] = {"communicator": WORLD, "threads": 1, "device": "cpu", "on_epoch_end": note}
    how: dict[str, Any] = {"epochs": 10**6, "batch_size": batch_size, "optimizer": SGD(1e-3)}
    net.build().fit(X, labels, **how, **ways)
    return found[1:]


def sums() -> dict[str, float]:
    """Return the median seconds of a sum over the ranks, by the number of float32."""
    found = {}
    for n in FLOATS:
        x, times = np.zeros(n, np.float32), []
        for _ in range(max(3, min(200, 10**7 // n))):
            WORLD.Barrier()
            start = time.perf_counter()
            WORLD.Allreduce(MPI.IN_PLACE, x)
            times.append(time.perf_counter() - start)
        found[str(n)] = float(np.median(times))
    return found


def leave_out_the_sum() -> None:
    """Let the ranks sum nothing, and so drift apart: what a sum that overlaps with all else would leave."""
    for name in ("sum", "check_same"):
        setattr(MpiRanks, name, lambda *_: None)


def main(seconds: float, without_sum: bool) -> None:
    """Time the networks on these ranks, each at its own mini-batch and at half of it."""
    found: dict[str, Any] = {"sums": sums() if WORLD.size > 1 and not without_sum else {}}
    if without_sum:
        leave_out_the_sum()
    found["rates"] = {
        net.name: {str(b): rates(net, b, seconds) for b in (net.batch_size, net.batch_size // 2)}
        for net in NETS
    }
    if WORLD.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main(float(sys.argv[1]), "--without-sum" in sys.argv)
