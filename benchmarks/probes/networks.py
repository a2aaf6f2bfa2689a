"""Small networks: the resident kernel, and a graph of kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

import gpunn
from benchmarks.nets import MIDDLE, SMALL, Net
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from gpunn import backends
from gpunn.backends.cuda import resident
from gpunn.core.optimizers import Optimizer

EXAMPLES, EPOCHS = 25_600, 3  # the first epoch is not counted
NETS: Sequence[tuple[Net, str]] = [
    (SMALL, "sgd"),
    (replace(SMALL, batch_size=32), "sgd"),
    (replace(SMALL, sizes=(784, 100, 10)), "sgd"),
    (replace(SMALL, sizes=(64, 32, 10), batch_size=32), "sgd"),
    (replace(SMALL, sizes=(64, 32, 10), batch_size=32), "adam"),
    (replace(SMALL, sizes=(20, 64, 3), batch_size=200), "sgd"),
    (replace(MIDDLE, batch_size=16), "sgd"),
]


WAYS = {"resident, µs": True, "graph, µs": False}


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield a row for each network."""
    be = make("float32")
    for net, optimizer in NETS:
        times = {}
        for column, wanted in WAYS.items():
            with patch.object(resident, "quicker_than_a_graph", lambda shape, wanted=wanted: wanted):
                times[column] = microseconds(be, net, optimizer)
        yield {"network": label(net), "optimizer": optimizer, **times}


def microseconds(be: Any, net: Net, optimizer: str) -> float:
    """Return the time of a step of `Network.fit`, end to end."""
    rng, m = np.random.default_rng(0), EXAMPLES // net.batch_size * net.batch_size
    X = rng.integers(0, 256, (m, net.sizes[0]), np.uint8).T
    chosen: Optimizer = gpunn.Adam(1e-3) if optimizer == "adam" else gpunn.SGD(1e-2)
    with patch.object(backends, "choose", lambda *_: be):
        history = net.build().fit(
            X,
            rng.integers(0, net.sizes[-1], m),
            epochs=EPOCHS,
            batch_size=net.batch_size,
            optimizer=chosen,
            device="cuda",
        )
    return 1e6 * min(record.seconds for record in list(history)[1:]) / (m // net.batch_size)


PROBE = Probe(
    "networks",
    "small networks, a step end to end",
    {
        "network": "the network, its mini-batch and its precision",
        "optimizer": "the optimizer",
        "resident, µs": "microseconds in the resident kernel, or as a graph if the network does not fit",
        "graph, µs": "microseconds as a graph of kernels",
    },
    measure,
)
