"""Predict a training step on several GPUs from one GPU's step and an α–β model of the all-reduce.

The sum of N bytes over n ranks takes, as a ring or as a tree, the least of

    ring   base + 2 (n − 1) α + 2 (n − 1)/n · N/β
    tree   base + 2 log₂ n α + 2 N/β

with the latencies of NCCL's own model, src/graph/tuning.cc at commit 01afd20 (there `baseLat` and `hwLat`),
and the bandwidths of data sheets, of which SHARE is assumed to be reached. Each has two protocols: LL, of
small latency, with a quarter of the bandwidth, and Simple. Nothing here was measured on more than one GPU.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nets import BROAD, DEEP, MIDDLE, Net
from benchmarks.scaling.networks import parameters

RANKS = [1, 2, 4, 8, 16, 32, 64]
SHARE = 0.8  # of a data sheet's bandwidth
MEMORY = 4.3e12  # bytes/s that an H200's memory was measured to read and write
EXTRA = 12  # bytes a parameter that a step moves more if the gradient has a buffer of its own
FIXED = 24  # bytes a parameter that a step moves whatever its mini-batch: w twice, g, and the step itself
LL = 0.25  # of the bandwidth
MICROSECOND = 1e-6


@dataclass(frozen=True)
class Link:
    """How the GPUs are connected.

    Attributes:
        bandwidth: bytes/s to and from each GPU.
        ring, tree: (base, α) in microseconds, of LL and of Simple.
        source: of the bandwidth.
    """

    name: str
    bandwidth: float
    ring: tuple[tuple[float, float], tuple[float, float]]
    tree: tuple[tuple[float, float], tuple[float, float]]
    source: str

    def all_reduce(self, nbytes: int, n: int) -> float:
        """Return the seconds of a sum over n ranks."""
        if n == 1:
            return 0.0
        times = []
        for share, ring, tree in zip((LL, 1.0), self.ring, self.tree, strict=True):
            beta = SHARE * share * self.bandwidth
            times.append(MICROSECOND * (ring[0] + 2 * (n - 1) * ring[1]) + 2 * (n - 1) / n * nbytes / beta)
            times.append(MICROSECOND * (tree[0] + 2 * math.log2(n) * tree[1]) + 2 * nbytes / beta)
        return min(times)


LINKS = [
    Link(
        "NVLink", 450e9, ((3.6, 0.47), (8.4, 3.4)), ((4.4, 0.52), (0, 28)), "NVIDIA H200: 900 GB/s both ways"
    ),
    Link("InfiniBand", 50e9, ((3.6, 2.7), (8.4, 9.6)), ((4.4, 5.0), (0, 50)), "NDR: 400 Gbit/s a GPU"),
]


@dataclass(frozen=True)
class Task:
    """A network on one GPU, as it was measured.

    Attributes:
        steps: the seconds of a step by mini-batch.
    """

    net: Net
    precision: str
    steps: dict[int, float]

    @property
    def title(self) -> str:
        precision = "" if self.precision == "float32" else f", {self.precision}"
        return f"{self.net.name}, mini-batch of {self.batch_size:,}{precision}"

    @property
    def batch_size(self) -> int:
        return self.net.batch_size

    def step(self, m: float) -> float:
        """Return the seconds of a step on m examples.

        Between measured mini-batches and below them, time is linear. Of a network with one measured
        mini-batch, what moves parameters is fixed, and the rest is in proportion to m: a lower bound.
        """
        known = sorted(self.steps)
        if len(known) == 1:
            fixed = FIXED * parameters(self.net) / MEMORY
            return fixed + (self.steps[known[0]] - fixed) * m / known[0]
        if m >= known[0]:
            return float(np.interp(m, known, [self.steps[b] for b in known]))
        (b, t), (c, u) = ((size, self.steps[size]) for size in known[:2])
        return t - (u - t) / (c - b) * (b - m)

    def on(self, link: Link, n: int, m: float) -> float:
        """Return the seconds of a step of n GPUs, each with m examples of the mini-batch."""
        if n == 1:
            return self.step(m)
        count = parameters(self.net)
        return self.step(m) + EXTRA * count / MEMORY + link.all_reduce(4 * count, n)

    def predict(self, link: Link) -> dict[str, Any]:
        """Return the speed-up by the number of GPUs, of the same mini-batch and of the same share."""
        b, one = self.batch_size, self.step(self.batch_size)
        return {
            "link": link.name,
            "ranks": RANKS,
            "all_reduce_us": [1e6 * link.all_reduce(4 * parameters(self.net), n) for n in RANKS],
            "same_mini_batch": [one / self.on(link, n, b / n) for n in RANKS],
            "same_share": [n * one / self.on(link, n, b) for n in RANKS],
        }


def tasks(results: Path) -> list[Task]:
    """Read the networks that an H200 was measured on."""
    measured = json.loads((results / "nvidia-h200.json").read_text(encoding="utf-8"))
    blocks = [*measured["nets"], *measured["sweep"]]

    def steps(net: Net, precision: str = "float32", least: int = 0) -> dict[int, float]:
        found = {}
        for block in blocks:
            if (block["net"], block["precision"]) == (net.name, precision) and block["batch_size"] >= least:
                ours = [row for name, row in block["contestants"].items() if name.startswith("gpunn CUDA")]
                found[block["batch_size"]] = MICROSECOND * ours[0]["microseconds_per_step"]
        return found

    large = Net(DEEP.sizes, 1024)
    return [
        Task(MIDDLE, "float32", steps(MIDDLE, least=MIDDLE.batch_size)),
        Task(BROAD, "float32", steps(BROAD)),
        Task(large, "tf32", steps(large, "tf32")),
    ]


def predict(results: Path) -> list[dict[str, Any]]:
    """Predict every network on every link."""
    return [
        {
            "net": task.net.name,
            "title": task.title,
            "batch_size": task.batch_size,
            "precision": task.precision,
            "parameters": parameters(task.net),
            "one_gpu_us": 1e6 * task.step(task.batch_size),
            "links": [task.predict(link) for link in LINKS],
        }
        for task in tasks(results)
    ]
