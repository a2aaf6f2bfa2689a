"""What a contestant is: something that trains a network, and is timed."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Weights = list[tuple[np.ndarray, np.ndarray]]  # [(w (n_l, n_{l-1}), b (n_l,)), …]


class Skipped(Exception):
    """A contestant that cannot take part here; one line that says why."""


class Contestant(Protocol):
    """Built from a Problem: data where it wants them, the first weights set; raises Skipped."""

    most: int  # how many examples it holds
    batch_size: int

    def seconds(self, m: int, epochs: int) -> float:
        """Train epochs of the first m examples, a whole number of mini-batches, and return the time it took.

        An epoch is: a new random order, and for each mini-batch the gathering of its examples, scaled
        into 0…1, their loss, its gradient and one step. Results are there when the clock is read.
        """

    def weights(self) -> Weights: ...


def library(name: str) -> Any:
    """A library that may be absent."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        absent = (error.name or "").partition(".")[0] == name.partition(".")[0]
        raise Skipped("not installed" if absent else f"cannot be imported: {error}") from None


def timed(epoch: Callable[[], object], epochs: int) -> float:
    """How long that many calls take."""
    start = time.perf_counter()
    for _ in range(epochs):
        epoch()
    return time.perf_counter() - start
