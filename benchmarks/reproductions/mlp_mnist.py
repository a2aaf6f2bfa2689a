"""Fully connected networks in the table of results on MNIST, without deformed copies of the digits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, accuracy, mnist

TABLE = "LeCun, Cortes and Burges, The MNIST database of handwritten digits, table of results"


@dataclass(frozen=True)
class Row:
    """A row of the table, and how it is trained here: Nesterov's momentum 0.9, its rate lowered in phases.

    error: the published one on the 10,000 test images. phases: (epochs, learning rate).
    """

    name: str
    text: str
    source: str
    error: float
    layers: tuple[gpunn.Dense, ...]
    cost: str
    phases: tuple[tuple[int, float], ...]
    batch_size: int
    l2: float = 0.0
    long: bool = False


ROWS = (
    Row(
        "mlp-mnist",
        "A network of 300 hidden units with the quadratic cost errs on 4.7 % of MNIST's test images.",
        f"{TABLE}: 2-layer NN, 300 hidden units, mean square error (LeCun et al. 1998)",
        0.047,
        (gpunn.Dense(300, "tanh"), gpunn.Dense(10, "sigmoid")),
        "quadratic",
        ((10, 0.1),),
        32,
    ),
    Row(
        "mlp-mnist-800",
        "A network of 800 hidden units with cross-entropy errs on 1.6 % of MNIST's test images.",
        f"{TABLE}: 2-layer NN, 800 HU, cross-entropy loss (Simard et al. 2003)",
        0.016,
        (gpunn.Dense(800, "relu"), gpunn.Dense(10, "softmax")),
        "cross-entropy",
        ((10, 0.1), (5, 0.02), (5, 0.004)),
        64,
        l2=1e-4,
        long=True,
    ),
    Row(
        "mlp-mnist-500-300",
        "A 500-300 network (softmax, cross-entropy, weight decay) errs on 1.53 % of MNIST's test images.",
        f"{TABLE}: 3-layer NN, 500+300 HU, softmax, cross entropy, weight decay (Hinton, unpublished, 2005)",
        0.0153,
        (gpunn.Dense(500, "relu"), gpunn.Dense(300, "relu"), gpunn.Dense(10, "softmax")),
        "cross-entropy",
        ((10, 0.1), (5, 0.02), (5, 0.004)),
        128,
        l2=1e-4,
    ),
)


def measure(claim: Claim, row: Row, folder: Path | None = None) -> Finding:
    """The error after the last epoch: no epoch is chosen by the test images."""
    data = mnist()
    net = gpunn.Network(784, row.layers, row.cost, seed=0)
    seconds = 0.0
    for epochs, eta in row.phases:
        history = net.fit(
            data.train.X,
            data.train.y,
            epochs=epochs,
            batch_size=row.batch_size,
            optimizer=gpunn.Nesterov(eta, l2=row.l2),
            device="cpu",
        )
        seconds += history.seconds
    error = 1 - accuracy(net, data.test.X, data.test.y)
    epochs = sum(epochs for epochs, _ in row.phases)
    measured = (
        f"{error:.2%} after {epochs} epochs, {seconds:.0f} s of training ({net.name}, {row.layers[0].f.name})"
    )
    return claim.finding(measured, error <= row.error)


def reproduction(row: Row) -> Reproduction:
    """The row as a claim."""
    claim = Claim(row.name, row.text, row.source)
    return Reproduction(claim, partial(measure, claim, row), row.long)


REPRODUCTIONS = [reproduction(row) for row in ROWS]
