"""Compare the number of threads that training chooses with fixed numbers, beside other busy processes.

`python -m benchmarks --busy` trains with one thread, with all, and with the number that training chooses, in
turn: beside no other process, one for each core, and three for each core.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.nets import MIDDLE, SMALL, WIDE, Data, Net
from gpunn.backends.host.pool import CREDIT, NOTHING, blas, cores

NETS = [SMALL, replace(MIDDLE, batch_size=16), MIDDLE, WIDE]
CHOICES: dict[str, int | None] = {"one": 1, "all": cores(), "chosen": None}
LOADS = (0, 1, 3)  # busy processes for each core
EXAMPLES = 512  # in an epoch, since a busy machine may take seconds for as many
QUIET, LOADED = 0.97, 1 / 1.3  # the least part of the better number's speed that the choice must reach
BUSY = "while True: pass"


@dataclass(frozen=True)
class Effort:
    """How much to measure. target: seconds per turn."""

    rounds: int
    target: float

    def ticks(self) -> int:
        """Return the number of steps in the progress bar."""
        return len(LOADS) * len(NETS) * self.rounds


@contextmanager
def burners(n: int) -> Iterator[None]:
    """Keep n processes busy."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def speed(net: Net, data: Data, threads: int | None, target: float) -> tuple[float, list[int | None]]:
    """Return examples/s of all of `fit`, and the numbers of threads that its epochs used."""
    X, y = data.X[:, :EXAMPLES], data.labels[:EXAMPLES]
    blas().latest, blas().credit = NOTHING, CREDIT  # begin as in a new process
    begun = time.perf_counter()
    history = net.build().fit(
        X,
        y,
        epochs=10**9,
        batch_size=net.batch_size,
        optimizer="sgd",
        device="cpu",
        threads=threads,
        on_epoch_end=lambda _: time.perf_counter() - begun > target,
    )
    seconds = time.perf_counter() - begun
    return len(history) * EXAMPLES / seconds, sorted({record.threads for record in history}, key=str)


def measure(effort: Effort, data: Data, tick: Callable[[str], object]) -> list[dict[str, Any]]:
    """Measure every network under every load; the choices take turns."""
    rows = []
    for load in LOADS:
        with burners(load * cores()):
            for net in NETS:
                row: dict[str, Any] = {"net": net.title, "busy": load * cores()}
                row |= {"speed": {name: [] for name in CHOICES}, "threads": []}
                for k in range(effort.rounds):
                    tick(f"{net.name} beside {load * cores()}")
                    for name, threads in list(CHOICES.items())[:: -1 if k % 2 else 1]:
                        found, used = speed(net, data, threads, effort.target)
                        row["speed"][name].append(found)
                        if threads is None:
                            row["threads"].append(used)
                rows.append(judged(row))
    return rows


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Add the part of the better number's speed that the choice reached, and whether it is enough."""
    medians = {name: median(values) for name, values in row["speed"].items()}
    share = medians["chosen"] / max(medians["one"], medians["all"])
    least = LOADED if row["busy"] else QUIET
    return {**row, "share": share, "least": least, "clears": share >= least}


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the medians as a table."""
    table = Table(
        "busy processes", "network", "one", "all", "chosen", "of the better", title="Thousand examples/s"
    )
    for row in rows:
        speeds = [f"{median(values) / 1e3:,.1f}" for values in row["speed"].values()]
        verdict = f"{row['share']:.2f}{'' if row['clears'] else ', too slow'}"
        table.add_row(str(row["busy"]), row["net"], *speeds, verdict)
    console.print(table)
