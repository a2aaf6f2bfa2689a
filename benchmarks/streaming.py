"""Measure training on a table that is streamed from Parquet files: `python -m benchmarks.streaming`.

A table of 20 columns is simulated in a temporary folder. Its rows are read bare by pyarrow, read and encoded
by gpunn, and trained on, all from files that the system has in its cache. The peak of the memory is that of a
process of its own, which makes the pass for the statistics and a whole epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import machine
from gpunn.tables.opening import open_task
from gpunn.tables.options import TableOptions
from gpunn.tables.sizes import parse
from gpunn.tables.streaming.rows import TrainingRows
from gpunn.tables.streaming.task import StreamedTask
from gpunn.training.settings import Settings

RESULT = Path(__file__).parent / "results" / "streaming.json"
NUMBERS, FILES, GROUP = 17, 10, 100_000  # columns of numbers; files; rows of a row group
ROUNDS = 3
PART, IN_MEMORY = 1 << 20, 100_000  # rows that training is timed on: a whole buffer; and in memory
NETWORKS = {"41-256-256-2": [256, 256], "41-32-2": [32]}


def simulate(folder: Path, rows: int) -> int:
    """Write the files: 17 numbers, two categories, and a target of two classes. Return their bytes."""
    import pyarrow
    import pyarrow.parquet as parquet

    for k in range(FILES):
        rng, m = np.random.default_rng(k), rows // FILES
        x = rng.standard_normal((NUMBERS, m), np.float32)
        colour, place = rng.integers(4, size=m), rng.integers(20, size=m)
        score = x[0] - 0.5 * x[1] * x[2] + 0.3 * (colour == 1) + 0.5 * rng.standard_normal(m)
        columns: dict[str, Any] = {f"x{j}": x[j] for j in range(NUMBERS)}
        for name, codes in (("colour", colour), ("place", place), ("y", (score > 0).astype(np.int64))):
            texts = pyarrow.array([f"{name}{code}" for code in range(20)])
            columns[name] = pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes), texts).cast("string")
        parquet.write_table(pyarrow.table(columns), folder / f"{k}.parquet", row_group_size=GROUP)
    return sum(path.stat().st_size for path in folder.iterdir())


class Part:
    """The first rows of a stream."""

    def __init__(self, stream: TrainingRows, m: int, batch_size: int) -> None:
        self.stream, self.m = stream, m // batch_size * batch_size
        self.description, self.class_counts = "a part", stream.class_counts

    @property
    def shape(self) -> tuple[int, int]:
        return self.stream.shape[0], self.m

    def blocks(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple[Any, Any]]:
        left = self.m
        for X, y in self.stream.blocks(batch_size, rng):
            yield X[:, :left], y[:left]
            left -= X.shape[1]
            if left <= 0:
                return


def read_bare(folder: Path) -> int:
    """Read all the columns with pyarrow.dataset, and return the number of rows."""
    import pyarrow.dataset

    return sum(batch.num_rows for batch in pyarrow.dataset.dataset(folder).to_batches())


def rate(work: Callable[[], int], rounds: int = ROUNDS) -> list[float]:
    """Return the rows per second of each round of some work, which returns its number of rows."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        rows = work()
        found.append(rows / (time.perf_counter() - start))
        print(f"{found[-1]:,.0f} rows/s", file=sys.stderr, flush=True)
    return found


def encode(stream: TrainingRows, most: int) -> int:
    """Read, shuffle and encode so many rows."""
    done = 0
    for X, _ in stream.blocks(256, np.random.default_rng(0)):
        done += X.shape[1]
        if done >= most:
            break
    return done


def learn(task: StreamedTask, settings: Settings, rows: int) -> int:
    """Train for an epoch on so many rows, and return their number."""
    part = Part(task.stream, rows, 256)
    fit(task, settings, part)
    return part.m


def fit(task: StreamedTask, settings: Settings, X: Any, y: Any = None) -> None:
    """Train for an epoch on a stream, or on examples in memory."""
    net = task.build_network(settings)
    net.fit(X, y, epochs=1, batch_size=256, optimizer="adamw", device=settings.device)


def learn_in_memory(task: StreamedTask, settings: Settings, X: np.ndarray, y: np.ndarray) -> int:
    """Train for an epoch on examples in memory, and return their number."""
    fit(task, settings, X, y)
    return len(y)


def measure(folder: Path, memory: str, device: str) -> dict[str, Any]:
    """Measure the speeds of everything that happens to the rows."""
    options = TableOptions(target="y", memory=memory)
    start = time.perf_counter()
    task = open_task(str(folder), Settings(device=device), options)
    statistics = task.rows / (time.perf_counter() - start)
    assert isinstance(task, StreamedTask)
    some = min(PART, task.stream.m)
    speeds = {
        "bare read by pyarrow": rate(lambda: read_bare(folder)),
        "statistics": [statistics],
        "read and encode": rate(lambda: encode(task.stream, some)),
    }
    parts = list(Part(task.stream, min(IN_MEMORY, task.stream.m), 256).blocks(256, np.random.default_rng(0)))
    X, y = np.asfortranarray(np.hstack([X for X, _ in parts])), np.concatenate([y for _, y in parts])
    for name, hidden in NETWORKS.items():
        settings = Settings(device=device, hidden=hidden)
        speeds[f"train {name}"] = rate(partial(learn, task, settings, some), 1)
        speeds[f"train {name}, in memory"] = rate(partial(learn_in_memory, task, settings, X, y))
    return {
        "rows_per_second": {name: {"median": median(all_), "rounds": all_} for name, all_ in speeds.items()}
    }


def peak(folder: Path, memory: str, device: str) -> dict[str, Any]:
    """Return the peak of the resident memory of the pass for the statistics and of an epoch, in bytes."""
    before = resident()
    task = open_task(str(folder), Settings(device=device), TableOptions(target="y", memory=memory))
    opened = resident()
    assert isinstance(task, StreamedTask)
    learn(task, Settings(device=device, hidden=[32]), task.stream.m)
    return {"before": before, "statistics": opened, "epoch": resident(), "memory": parse(memory)}


def resident() -> int:
    """Return the peak of this process's resident memory in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def alone(what: str, folder: Path, memory: str, device: str) -> dict[str, Any]:
    """Return what a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.streaming", "--only", what, "--folder", str(folder)]
    answer = subprocess.run(
        [*command, "--memory", memory, "--device", device], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--memory", default="500M", help="the limit of --memory")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--folder", type=Path, help="files that are there already")
    parser.add_argument("--only", choices=("measure", "peak"), help="print one part of the results")
    chosen = parser.parse_args()
    if chosen.only:
        work = measure if chosen.only == "measure" else peak
        print(json.dumps(work(chosen.folder, chosen.memory, chosen.device)))
        return
    with tempfile.TemporaryDirectory(prefix="gpunn-streaming-") as folder:
        nbytes = simulate(Path(folder), chosen.rows)
        asked = Path(folder), chosen.memory, chosen.device
        result = {
            "rows": chosen.rows,
            "columns": NUMBERS + 3,
            "bytes": nbytes,
            "files": FILES,
            "device": chosen.device,
            **alone("measure", *asked),
            "resident_bytes": alone("peak", *asked),
        }
    result |= {**machine.cpu(), "versions": machine.versions(), "busy": os.getloadavg()}
    result["date"] = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    chosen.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
