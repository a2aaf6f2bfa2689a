"""What every reproduction is made of: a claim, what was found, and the data and networks they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

import gpunn
from gpunn.backends import Host
from gpunn.core.plan import Round
from gpunn.datasets import Dataset, DataUnavailable

Say: TypeAlias = Callable[[str], object]  # is told how far a measurement is


def silent(what: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Finding:
    """What became of a claim: in one line, whether it holds, every run's figures as JSON, and pictures."""

    measured: str
    passed: bool
    runs: Mapping[str, Any]
    figures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Claim:
    """What somebody published, in one sentence, and where.

    rule: when it counts as reproduced, laid down before it was measured. settings: as JSON.
    """

    name: str
    text: str
    source: str
    rule: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class Measure(Protocol):
    """Measures a claim; draws pictures where there is a folder for them."""

    def __call__(self, folder: Path | None = None, say: Say = silent) -> Finding: ...


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


def in_training(net: gpunn.Network, X: np.ndarray, key: int = 0) -> np.ndarray:
    """The outputs a[L] (n_L, m) of a feedforward of training: X (n_0, m) is one mini-batch.

    So with dropout, its masks drawn by the key, and normalised by the mini-batch's own mean and variance.
    """
    be, m = Host(net.dtype.name), X.shape[1]
    examples, outputs = be.examples(np.asarray(X, net.dtype), None, None), be.matrix(net.sizes[-1], m)
    Round(net._on(be), examples, m, m, training=True, outputs=outputs)(np.arange(m), key=key)
    return outputs


def farthest(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest difference between two lists of arrays of the same shapes."""
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def accuracy(net: gpunn.Network, X: np.ndarray, labels: np.ndarray) -> float:
    """The share of the examples X (n_0, m) whose class the network names."""
    return float(np.mean(net.predict(X) == labels))


def spread(values: np.ndarray, form: str) -> str:
    """Several runs' figures, each as `form` has it: the median, and from the least to the greatest."""
    if len(values) == 1:
        return form.format(values[0])
    low, middle, high = (form.format(f(values)) for f in (np.min, np.median, np.max))
    return f"median {middle} of {len(values)} runs ({low} to {high})"
