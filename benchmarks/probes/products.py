"""The algorithms that cuBLASLt offers for each product of a step, by the clock."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.nets import Net
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from benchmarks.probes.timeline import NETS, watch
from benchmarks.probes.watched import Bound
from benchmarks.steps import training_step
from gpunn.backends.cuda.algorithms import CALLS, ROUNDS, VARIABLE


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield the products of a step of each network, timed anew, and the sum for each network."""
    for net in NETS:
        found = list(rows_of(make, net))
        yield from found
        yield {
            "network": label(net), "product": "all", "size": "", "candidates": None, "chosen": None,
            **{name: sum(row[name] for row in found) for name in ("first, µs", "best, µs", "tuning, ms")},
            "TFLOP/s": None,
        }  # fmt: skip


def rows_of(make: MakeBackend, net: Net) -> Iterator[Row]:
    """Yield a row for each product for which the library has a choice."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {VARIABLE: folder}):
        be, watched = watch(make(net.precision))
        calls = be.lower(training_step(be, net))
        choices = {
            product: choice
            for path in Path(folder).glob("*.json")
            for product, choice in json.loads(path.read_text("utf-8"))["choices"].items()
        }
    for call in calls:
        bound = watched.describe(call)
        if choice := choices.get(bound.problem):
            yield row(net, bound, choice)


def row(net: Net, bound: Bound, choice: dict[str, Any]) -> Row:
    """Return a row of the table."""
    times = choice["microseconds"]
    best = times[str(choice["candidate"])]
    return {
        "network": label(net),
        "product": bound.what,
        "size": bound.size,
        "candidates": len(times),
        "chosen": choice["candidate"],
        "first, µs": next(iter(times.values())),
        "best, µs": best,
        "tuning, ms": 1e3 * choice["tuning_seconds"],
        "TFLOP/s": bound.flop / best / 1e6,
    }


PROBE = Probe(
    "algorithms",
    "cuBLASLt's algorithms by the clock",
    {
        "network": "the network, its mini-batch and its precision",
        "product": "what the product computes",
        "size": "n × inner × m of a (n, inner) · b (inner, m)",
        "candidates": "algorithms that the library offers and that work",
        "chosen": "the place of the chosen algorithm in the library's order, from 0",
        "first, µs": "microseconds by the library's first answer",
        "best, µs": f"by the chosen algorithm: the fastest of {ROUNDS} graphs of {CALLS} calls",
        "tuning, ms": "milliseconds that it took to time all candidates",
        "TFLOP/s": "arithmetic by the time of the chosen algorithm",
    },
    measure,
)
