"""Measure one and two ranks on this machine, and how well the model predicts the second from the first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.nets import Net
from benchmarks.scaling.networks import NETS, parameters

WAYS: dict[str, tuple[int, list[str]]] = {
    "1 rank": (1, []),
    "2 ranks": (2, []),
    "2 ranks, without the sum": (2, ["--without-sum"]),
}


def run(ranks: int, seconds: float, options: list[str]) -> dict[str, Any]:
    """Run the worker on so many ranks."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mpiexec = shutil.which("mpiexec", path=beside)
    if mpiexec is None:
        raise SystemExit("no mpiexec: pip install 'gpunn[mpi]'")
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "benchmarks.scaling.worker", str(seconds)]
    found = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"the worker failed: {found.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def measure(rounds: int, seconds: float, tick: Callable[[str], object]) -> dict[str, Any]:
    """Return the best of some rounds, each of which takes every way in turn.

    A round counts by its median. Other processes only ever make a round slower, so the best one is nearest to
    a quiet machine.
    """
    each: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, (ranks, options) in WAYS.items():
            tick(way)
            each[way].append(run(ranks, seconds, options))
    sums = {n: min(found["sums"][n] for found in each["2 ranks"]) for n in each["2 ranks"][0]["sums"]}
    alpha, beta = fit([int(n) for n in sums], list(sums.values()))
    return {
        "sums": sums,
        "alpha_seconds": alpha,
        "beta_bytes_per_second": beta,
        "nets": [of_net(net, each, sums) for net in NETS],
    }


def of_net(net: Net, each: dict[str, list[dict[str, Any]]], sums: dict[str, float]) -> dict[str, Any]:
    """Return the milliseconds of a step of a network, by way, and what the model predicts for two ranks."""

    def milliseconds(way: str, batch_size: int) -> float:
        rounds = [float(np.median(found["rates"][net.name][str(batch_size)])) for found in each[way]]
        return 1e3 * batch_size / max(rounds)

    b, count = net.batch_size, parameters(net)
    one, half, two, bare = (
        milliseconds(way, size)
        for way, size in (
            ("1 rank", b),
            ("1 rank", b // 2),
            ("2 ranks", b),
            ("2 ranks, without the sum", b),
        )
    )
    summed = 1e3 * float(np.interp(count, [int(n) for n in sums], list(sums.values())))
    return {
        "net": net.name,
        "batch_size": b,
        "parameters": count,
        "one_rank_ms": one,
        "half_a_mini_batch_ms": half,
        "two_ranks_ms": two,
        "two_ranks_without_the_sum_ms": bare,
        "sum_ms": summed,
        "predicted_ms": half + summed,
        "speedup": one / two,
        "most_that_overlap_could_gain": two / bare,
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the steps of every network."""
    table = Table("network", "1 rank, ms", "2 ranks, ms", "model, ms", "speed-up", "without the sum, ms")
    for row in found["nets"]:
        times = (row[f"{name}_ms"] for name in ("one_rank", "two_ranks", "predicted"))
        bare = row["two_ranks_without_the_sum_ms"]
        cells = [*(f"{ms:.2f}" for ms in times), f"{row['speedup']:.2f}", f"{bare:.2f}"]
        table.add_row(f"{row['net']}, {row['batch_size']}", *cells)
    console.print(table)
    alpha, beta = 1e6 * found["alpha_seconds"], found["beta_bytes_per_second"] / 1e9
    console.print(f"a sum over two ranks: {alpha:.1f} µs, and {beta:.2f} GB/s", style="dim")


def fit(floats: list[int], seconds: list[float]) -> tuple[float, float]:
    """Return α, the seconds of a small sum, and β, the bytes/s of a large one: seconds = α + bytes/β."""
    beta = 4 * (floats[-1] - floats[-3]) / (seconds[-1] - seconds[-3])
    return float(np.median(seconds[:5])), beta
