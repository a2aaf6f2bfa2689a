"""A small run that is interrupted and resumed, which the tests of checkpoints share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn import Dense, History, Network, Record

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 60), dtype=np.uint8)
Y = RNG.integers(0, 3, 60)


def network(seed: int | None = 0) -> Network:
    return Network(6, [Dense(7, "tanh"), Dense(3, "softmax")], seed=seed)


def outcome(net: Network, history: History) -> list[object]:
    """Return everything that must be equal: the weights, the generator, and the measurements."""
    measured = [(r.epoch, r.loss, r.accuracy, r.validation_loss, r.validation_accuracy) for r in history]
    return [net._theta.flat.tobytes(), str(net.rng.bit_generator.state), measured, history.stopped]


def interrupt_after(epoch: int) -> Callable[[Record], None]:
    def check(record: Record) -> None:
        if record.epoch == epoch:
            raise KeyboardInterrupt

    return check


def fit(net: Network, **settings: Any) -> History:
    return net.fit(X, Y, **{"epochs": 6, "batch_size": 8, "device": "cpu", **settings})
