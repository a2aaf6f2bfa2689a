"""The interface of a contestant, which trains a network and is timed."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Weights = list[tuple[np.ndarray, np.ndarray]]  # [(w (n_l, n_{l-1}), b (n_l,)), …]


class Skipped(Exception):
    """Raised if a contestant cannot take part; the message says why in one line."""


class Contestant(Protocol):
    """A library that trains the network of a `Problem`.

    Building it places the data and sets the initial weights. Raises Skipped if it cannot take part.
    """

    max_examples: int
    batch_size: int

    def seconds(self, m: int, epochs: int) -> float:
        """Train for some epochs on the first m examples and return the seconds taken.

        m is a multiple of the batch size. An epoch draws a new random order. Every mini-batch gathers its
        examples, scales them to 0…1, and computes the loss, its gradient and one step. All work has finished
        when the clock is read.
        """

    def weights(self) -> Weights: ...


def library(name: str) -> Any:
    """Import a library. Raises Skipped if it is missing or cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        absent = (error.name or "").partition(".")[0] == name.partition(".")[0]
        raise Skipped("not installed" if absent else f"cannot be imported: {error}") from None


def timed(epoch: Callable[[], object], epochs: int) -> float:
    """Call `epoch` that many times and return the seconds taken."""
    start = time.perf_counter()
    for _ in range(epochs):
        epoch()
    return time.perf_counter() - start
