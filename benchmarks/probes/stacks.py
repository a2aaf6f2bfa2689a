"""Networks too large for the resident kernel: as a stack in one graph, and one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

import gpunn
from benchmarks.nets import RECIPE, WIDE, Net
from benchmarks.probes.networks import EPOCHS, data
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from gpunn import backends
from gpunn.core.optimizers import Optimizer
from gpunn.training import together
from gpunn.training.candidates import Candidate
from gpunn.training.fit import fit
from gpunn.training.history import History

EXAMPLES = 12_800  # of each network
NETS: Sequence[tuple[Net, str]] = [
    (RECIPE, "sgd"),
    (RECIPE, "adam"),
    (WIDE, "sgd"),
    (replace(RECIPE, batch_size=16), "sgd"),
]
COUNTS = (4, 16, 64)


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield a row for each kind of network and each number of them."""
    be = make("float32")
    with patch.object(backends, "choose", lambda *_: be):
        for net, optimizer in NETS:
            alone = step_us(net, [train_alone(net, optimizer)])
            for count in COUNTS:
                histories = train_together(net, optimizer, count)
                stack = step_us(net, histories) if histories else None
                yield row(net, optimizer, count, stack, count * alone)


def row(net: Net, optimizer: str, count: int, stack_us: float | None, in_turn_us: float) -> Row:
    """Return a row of the table."""
    return {
        "network": label(net),
        "optimizer": optimizer,
        "networks": count,
        "stack, µs": stack_us,
        "in turn, µs": in_turn_us,
        "times as fast": in_turn_us / stack_us if stack_us else None,
        "M examples/s": count * net.batch_size / stack_us if stack_us else None,
    }


def step_us(net: Net, histories: Sequence[History]) -> float:
    """Return the time in which all of the networks take a step, in microseconds."""
    epochs = [sum(record.seconds for record in records) for records in zip(*histories, strict=True)]
    return 1e6 * min(epochs[1:]) / -(-EXAMPLES // net.batch_size)


def candidate(net: Net, optimizer: str, seed: int, X: Any, y: np.ndarray) -> Candidate:
    """Return a network with its own learning rate and seed."""
    rate = 1e-3 * (1 + seed / 100)
    chosen: Optimizer = gpunn.Adam(rate) if optimizer == "adam" else gpunn.SGD(rate, net.momentum)
    options = gpunn.FitOptions(epochs=EPOCHS, batch_size=net.batch_size, optimizer=chosen, device="cuda")
    return Candidate(net.build(seed), X, y, options)


def train_alone(net: Net, optimizer: str) -> History:
    """Train one network."""
    made = candidate(net, optimizer, 0, *data(net, EXAMPLES))
    return fit(made.net, made.X, made.y, made.options)


def train_together(net: Net, optimizer: str, count: int) -> list[History] | None:
    """Train several networks in lockstep; return None if the device has no way to do that."""
    X, y = data(net, EXAMPLES)
    results = together.fit([candidate(net, optimizer, seed, X, y) for seed in range(count)])
    if results is None:
        return None
    if errors := [result for result in results if isinstance(result, Exception)]:
        raise errors[0]
    return [result for result in results if isinstance(result, History)]


PROBE = Probe(
    "stacks",
    "networks in a stack",
    {
        "network": "the network, its mini-batch and its precision",
        "optimizer": "the optimizer",
        "networks": "how many networks are trained, each with its own learning rate and seed",
        "stack, µs": "microseconds in which all of them take a step, at once and end to end",
        "in turn, µs": "microseconds of as many steps of one network alone, end to end",
        "times as fast": "the second by the first",
        "M examples/s": "millions of examples a second of all networks in the stack",
    },
    measure,
)
