"""Small networks: the persistent kernel with one block and with several, and a graph of kernels."""

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
from gpunn.backends.cuda import persistent
from gpunn.core.optimizers import Optimizer

EXAMPLES, EPOCHS = 25_600, 3  # the first epoch is not counted
BLOCKS = (1, 2, 4, 8)
STATES = {"sgd": 0, "adam": 2}  # arrays like θ that the optimizer keeps
NETS: Sequence[tuple[Net, str]] = [
    (SMALL, "sgd"),
    (replace(SMALL, batch_size=32), "sgd"),
    (replace(SMALL, sizes=(784, 100, 10)), "sgd"),
    (replace(SMALL, sizes=(64, 32, 10), batch_size=32), "sgd"),
    (replace(SMALL, sizes=(64, 32, 10), batch_size=32), "adam"),
    (replace(SMALL, sizes=(20, 64, 3), batch_size=200), "sgd"),
    (replace(MIDDLE, batch_size=16), "sgd"),
]


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield a row for each network."""
    be = make("float32")
    for net, optimizer in NETS:
        shape = persistent.Shape(net.sizes, net.batch_size, STATES[optimizer])
        times: dict[str, float | None] = {}
        for blocks in BLOCKS:
            with patch.multiple(persistent, BLOCKS=(blocks,), ADVANTAGE=0):
                fits = shape.blocks(be.memory) is not None
                times[column(blocks)] = microseconds(be, net, optimizer) if fits else None
        with patch.object(persistent, "ADVANTAGE", np.inf):
            times["graph, µs"] = microseconds(be, net, optimizer)
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


def column(blocks: int) -> str:
    """Return the name of the column for a number of blocks."""
    return f"{blocks} block{'s' if blocks > 1 else ''}, µs"


PROBE = Probe(
    "networks",
    "small networks, a step end to end",
    {
        "network": "the network, its mini-batch and its precision",
        "optimizer": "the optimizer",
        **{
            column(blocks): f"microseconds of the persistent kernel with {blocks} block(s), if there is room"
            for blocks in BLOCKS
        },
        "graph, µs": "microseconds as a graph of kernels",
    },
    measure,
)
