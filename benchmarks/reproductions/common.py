"""The parts of a reproduction (a claim, a measurement, a finding), and shared data and networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

import gpunn
from gpunn.backends import Host
from gpunn.core.plan import Plan
from gpunn.datasets import Dataset, DataUnavailable

Progress: TypeAlias = Callable[[str], object]  # receives a description of the current step


def no_progress(what: str) -> None:
    """Ignore the progress of a measurement."""


@dataclass(frozen=True)
class Finding:
    """The result of measuring a claim.

    Attributes:
        measured: the result in one line.
        runs: the numbers of every run, as JSON.
        figures: paths of the figures drawn.
    """

    measured: str
    passed: bool
    runs: Mapping[str, Any]
    figures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A published claim in one sentence, and its source.

    Attributes:
        rule: when the claim counts as reproduced, fixed before it was measured.
        settings: settings of the measurement, as JSON.
    """

    name: str
    text: str
    source: str
    rule: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class Measure(Protocol):
    """Measure a claim; draw figures if there is a folder for them."""

    def __call__(self, folder: Path | None = None, progress: Progress = no_progress) -> Finding: ...


@dataclass(frozen=True)
class Reproduction:
    """A claim and its measurement; `long` if it takes more than about a minute on two cores."""

    claim: Claim
    measure: Measure
    long: bool = False


def mnist() -> Dataset:
    """Load MNIST. Raises DataUnavailable if it can be neither found nor downloaded."""
    return gpunn.datasets.load("mnist")


def data_file(name: str, what: str) -> Path:
    """Return the path of a file in $GPUNN_DATA. Raises DataUnavailable if it is missing."""
    folder = os.environ.get("GPUNN_DATA")
    if not folder:
        raise DataUnavailable(
            f"{name} is missing ({what}): put it in a folder and set GPUNN_DATA to that folder"
        )
    path = Path(folder).expanduser() / name
    if not path.is_file():
        raise DataUnavailable(f"{path} is missing ({what}): put it there")
    return path


def dense(sizes: Sequence[int], hidden: str, output: str, init: str | None = None) -> list[gpunn.Dense]:
    """Make layers of sizes n_1…n_L; the last is the output layer."""
    return [gpunn.Dense(n, hidden, init) for n in sizes[:-1]] + [gpunn.Dense(sizes[-1], output, init)]


def parameters(net: gpunn.Network) -> list[np.ndarray]:
    """Return views of all weights, then of all biases."""
    return [*net.weights, *net.biases]


def in_training(net: gpunn.Network, X: np.ndarray, key: int = 0) -> np.ndarray:
    """Return the outputs a[L] (n_L, m) in training mode, with X (n_0, m) as one mini-batch.

    The key draws the dropout masks, and batch normalisation uses the mini-batch's own mean and variance.
    """
    be, m = Host(net.dtype.name), X.shape[1]
    examples, outputs = (
        be.data.examples(np.asarray(X, net.dtype), None, None),
        be.memory.matrix(net.sizes[-1], m),
    )
    Plan(net.bind(be), examples, m, m, training=True, outputs=outputs)(np.arange(m), key=key)
    return outputs


def largest_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Return the largest difference between two lists of arrays with the same shapes."""
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def accuracy(net: gpunn.Network, X: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction of examples X (n_0, m) that the network classifies correctly."""
    return float(np.mean(net.predict(X) == labels))


def spread(values: np.ndarray, form: str) -> str:
    """Format the values of several runs as their median and range; `form` formats one value."""
    if len(values) == 1:
        return form.format(values[0])
    low, middle, high = (form.format(f(values)) for f in (np.min, np.median, np.max))
    return f"median {middle} of {len(values)} runs ({low} to {high})"
