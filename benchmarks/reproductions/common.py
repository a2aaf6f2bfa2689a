"""What every reproduction is made of: a claim, what was found, and the data and networks they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

import gpunn
from gpunn.datasets import Dataset, DataUnavailable


@dataclass(frozen=True)
class Finding:
    """What became of a claim: measured in one line, whether it holds, and the pictures that were drawn."""

    name: str
    claim: str
    source: str
    measured: str
    passed: bool
    figures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Claim:
    """What somebody published, in one sentence, and where."""

    name: str
    text: str
    source: str

    def finding(self, measured: str, passed: bool, *figures: Path) -> Finding:
        """This claim with what was measured."""
        return Finding(self.name, self.text, self.source, measured, bool(passed), figures)


Measure: TypeAlias = Callable[[Path | None], Finding]  # is given the folder for pictures, None for none


@dataclass(frozen=True)
class Reproduction:
    """A claim and how it is measured; `long`: more than about a minute on two cores."""

    claim: Claim
    measure: Measure
    long: bool = False


def mnist() -> Dataset:
    """MNIST; DataUnavailable, saying what to do, where it can be neither found nor downloaded."""
    return gpunn.datasets.load("mnist")


def data_file(name: str, what: str) -> Path:
    """A file of $GPUNN_DATA; DataUnavailable, saying what it holds, where it is not there."""
    folder = os.environ.get("GPUNN_DATA")
    if not folder:
        raise DataUnavailable(f"{name} is missing ({what}): put it in a folder and set GPUNN_DATA to that")
    path = Path(folder).expanduser() / name
    if not path.is_file():
        raise DataUnavailable(f"{path} is missing ({what}): put it there")
    return path


def dense(sizes: Sequence[int], hidden: str, output: str, init: str | None = None) -> list[gpunn.Dense]:
    """The layers n_1…n_L of those sizes, the last of them the output."""
    return [gpunn.Dense(n, hidden, init) for n in sizes[:-1]] + [gpunn.Dense(sizes[-1], output, init)]


def parameters(net: gpunn.Network) -> list[np.ndarray]:
    """Views of all weights, then of all biases."""
    return [*net.weights, *net.biases]


def farthest(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest difference between two lists of arrays of the same shapes."""
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def accuracy(net: gpunn.Network, X: np.ndarray, labels: np.ndarray) -> float:
    """The share of the examples X (n_0, m) whose class the network names."""
    return float(np.mean(net.predict(X) == labels))
