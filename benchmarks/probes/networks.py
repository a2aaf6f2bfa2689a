"""Small networks: the resident kernel for one and for many at once, and a graph of kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

import gpunn
from benchmarks.nets import MIDDLE, SMALL, Net
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from gpunn import backends
from gpunn.backends.cuda import resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.optimizers import Optimizer
from gpunn.core.plan import Plan
from gpunn.core.plan import together as plans_together

EXAMPLES, EPOCHS = 25_600, 3  # of one network; the first epoch is not counted
SHARED, ROUNDS = 12_800, 3  # examples of many networks
DIGITS = replace(SMALL, sizes=(64, 32, 10), batch_size=32)
TABLE = replace(SMALL, sizes=(20, 64, 3), batch_size=200)
DEFAULT = replace(MIDDLE, sizes=(64, 100, 10), batch_size=200)  # scikit-learn's
ALONE: Sequence[tuple[Net, str, str | None]] = [  # the last is the target on an H200
    (SMALL, "sgd", "≤ 5 µs"),
    (replace(SMALL, batch_size=32), "sgd", None),
    (replace(SMALL, sizes=(784, 100, 10)), "sgd", None),
    (DIGITS, "sgd", None),
    (DIGITS, "adam", None),
    (TABLE, "sgd", None),
    (DEFAULT, "adam", "≤ 15 µs"),
    (replace(MIDDLE, batch_size=16), "sgd", None),
]
BLOCKS = (1, 4, 8)  # networks on each multiprocessor
TOGETHER: Sequence[tuple[Net, Mapping[int, str]]] = [  # targets by that number; the rates are twice JAX's
    (SMALL, {1: "≤ 7 µs"}),
    (DIGITS, {8: "≥ 1,118 M/s"}),
    (TABLE, {8: "≥ 1,680 M/s"}),
]
WAYS = {"resident, µs": True, "graph, µs": False}


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield a row for each network alone, and for many networks of a kind."""
    be = make("float32")
    for net, optimizer, target in ALONE:
        times = {}
        for column, wanted in WAYS.items():
            with patch.object(resident, "quicker_than_a_graph", lambda shape, wanted=wanted: wanted):
                times[column] = alone(be, net, optimizer)
        yield row(net, optimizer, 1, times["resident, µs"], times["graph, µs"], target)
    for net, targets in TOGETHER:
        for blocks in BLOCKS:
            count = blocks * be.device.processors
            yield row(net, "sgd", count, together(be, net, count), None, targets.get(blocks))


def row(
    net: Net,
    optimizer: str,
    count: int,
    resident_us: float | None,
    graph_us: float | None,
    target: str | None,
) -> Row:
    """Return a row of the table."""
    return {
        "network": label(net),
        "optimizer": optimizer,
        "networks": count,
        "resident, µs": resident_us,
        "graph, µs": graph_us,
        "M examples/s": count * net.batch_size / resident_us if resident_us else None,
        "target": target,
    }


def alone(be: Any, net: Net, optimizer: str) -> float:
    """Return the time of a step of `Network.fit`, end to end, in microseconds."""
    m = EXAMPLES // net.batch_size * net.batch_size
    chosen: Optimizer = gpunn.Adam(1e-3) if optimizer == "adam" else gpunn.SGD(1e-2)
    with patch.object(backends, "choose", lambda *_: be):
        history = net.build().fit(
            *data(net, m), epochs=EPOCHS, batch_size=net.batch_size, optimizer=chosen, device="cuda"
        )
    return 1e6 * min(record.seconds for record in list(history)[1:]) / (m // net.batch_size)


def together(be: Cuda, net: Net, count: int) -> float | None:
    """Return the time of a step of so many networks in one launch, in microseconds; None if they cannot."""
    steps = SHARED // net.batch_size
    m = steps * net.batch_size
    examples = be.data.examples(*data(net, m), None)
    with patch.object(be, "networks", count):
        plans = [plan(be, net, examples, m, seed) for seed in range(count)]
    stages = plans_together(plans, be)
    if stages is None:
        return None
    (stage,) = stages
    timer, order, times = be.device.timer(stage.calls[:1]), np.arange(m), []
    for _ in range(ROUNDS):
        for one in plans:
            be.data.start_pass(one.p, order)
        times.append(timer())
    return 1e6 * min(times) / steps


def plan(be: Cuda, net: Net, examples: Any, m: int, seed: int) -> Plan:
    """Bind a pass of learning of a new network."""
    model = net.build(seed).bind(be)
    update = gpunn.SGD(1e-2).bind(be, model.theta)
    return Plan(model, examples, m, net.batch_size, training=True, update=update)


def data(net: Net, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise: images in uint8, with examples as columns, and their labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (m, net.sizes[0]), np.uint8).T, rng.integers(0, net.sizes[-1], m)


PROBE = Probe(
    "networks",
    "small networks",
    {
        "network": "the network, its mini-batch and its precision",
        "optimizer": "the optimizer",
        "networks": "networks that are trained at once; one alone is timed end to end, many in their launch",
        "resident, µs": "microseconds a step in the resident kernel; as a graph if one network does not fit",
        "graph, µs": "microseconds a step as a graph of kernels",
        "M examples/s": "millions of examples a second of all networks in the resident kernel",
        "target": "what an H200 should reach with it, in µs a step or in M examples/s",
    },
    measure,
)
