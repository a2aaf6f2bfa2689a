"""Measure the contestants, which take turns in every round and are compared within each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contestants import AT_ONCE, GPU_FLOOR, OURS, OURS_ON_CUDA, Skipped, floor_of
from benchmarks.machine import cpu
from benchmarks.nets import Net
from benchmarks.worker import Workers

PROBE = 64  # examples in the first run
PAUSE = 0.1  # seconds between turns: OpenBLAS's threads spin for about 30 ms after their last product

Tick = Callable[[str], object]


@dataclass
class Turn:
    """One contestant's turn in every round, and the examples/s of each turn."""

    name: str
    workers: Workers
    max_examples: int = 0
    batch_size: int = 0
    m: int = 0  # examples per epoch
    epochs: int = 1
    rates: list[float] = field(default_factory=list)
    skipped: str = ""
    networks: int = 1

    def run(self) -> float:
        """Run one turn and return its examples/s, counting those of each network."""
        time.sleep(PAUSE)
        examples = self.networks * self.m * self.epochs
        return examples / self.workers[self.name].seconds(self.m, self.epochs)

    def prepare(self, net: Net, target: float) -> None:
        """Start the worker, build the network, compile, and estimate the speed."""
        self.max_examples, self.batch_size = self.workers[self.name].prepare(net)
        self.networks = net.networks
        self.m = self.batch_size * max(1, PROBE // self.batch_size)
        self.calibrate(target)

    def calibrate(self, target: float) -> None:
        """Choose a number of whole mini-batches and of epochs that takes about the target time."""
        self.epochs = 1
        self.run()  # compiles code that depends on m
        aim = target * self.run() / self.networks
        self.m = self.batch_size * max(1, int(min(aim, self.max_examples)) // self.batch_size)
        self.epochs = max(1, round(aim / self.m))


def compare(
    workers: Workers, names: Sequence[str], net: Net, rounds: int, target: float, tick: Tick
) -> dict[str, Any]:
    """Measure the contestants on a network; the first round is a warm-up."""
    turns = {name: Turn(name, workers) for name in names}
    title = f"{net.name}, batch {net.batch_size:,}"
    _prepare(list(turns.values()), net, target, lambda name: tick(f"{title}: {name} is ready"))
    for i in range(rounds + 1):
        tick(f"{title}: round {i} of {rounds}")
        for turn in list(turns.values())[:: -1 if i % 2 else 1]:  # alternate the order to cancel drift
            _try(turn, lambda turn=turn: turn.rates.append(turn.run()))  # type: ignore[misc]
    return {
        "net": net.name,
        "title": net.title,
        "batch_size": net.batch_size,
        "precision": net.precision,
        "contestants": {name: summary(turns, name, net.batch_size) for name in turns},
        "ceilings": {
            name: workers[name].facts()
            for name, turn in turns.items()
            if name.startswith(GPU_FLOOR) and not turn.skipped
        },
    }


def _prepare(turns: Sequence[Turn], net: Net, target: float, tick: Tick) -> None:
    """Prepare the contestants in parallel, after those that time something of their own on the GPU.

    The floors measure their ceilings, and gpunn the algorithms of its products.
    """

    def prepare(turn: Turn) -> None:
        _try(turn, lambda: turn.prepare(net, target))
        tick(turn.name)

    alone = [turn for turn in turns if turn.name.startswith((GPU_FLOOR, OURS_ON_CUDA))]
    for turn in alone:
        prepare(turn)
    with ThreadPoolExecutor(cpu()["cores"]) as pool:  # compiling is slow
        list(pool.map(prepare, [turn for turn in turns if turn not in alone]))
    for turn in turns:
        _try(turn, partial(turn.calibrate, target))  # again, now that no other contestant runs


def _try(turn: Turn, action: Callable[[], object]) -> None:
    if not turn.skipped:
        try:
            action()
        except Skipped as reason:
            turn.skipped = str(reason)


def summary(turns: dict[str, Turn], name: str, batch_size: int) -> dict[str, Any]:
    """Summarise a contestant: medians and quartiles, or the reason why it was skipped."""
    turn = turns[name]
    if turn.skipped:
        return {"skipped": turn.skipped}
    rates = turn.rates[1:]
    low, median, high = np.percentile(rates, (25, 50, 75))
    return {
        "examples_per_second": float(median),
        "quartiles": [float(low), float(high)],
        "microseconds_per_step": 1e6 * batch_size / float(median),
        "of_floor": ratio(turns, name, floor_of(name)),
        "of_gpunn_cpu": ratio(turns, name, OURS if turn.networks == 1 else AT_ONCE),
        "examples_a_round": turn.networks * turn.m * turn.epochs,
        "rounds": [float(rate) for rate in rates],
    }


def ratio(turns: dict[str, Turn], name: str, other: str) -> float | None:
    """Return the median over the rounds of the ratio of two contestants' speeds."""
    if other not in turns or turns[other].skipped:
        return None
    return float(np.median(np.divide(turns[name].rates[1:], turns[other].rates[1:])))
