"""The first network of Nielsen's book, which names its handwritten digits."""

from __future__ import annotations

from functools import partial
from math import comb
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, Say, dense, mnist, silent, spread

TRAINED_ON = 50_000  # the book keeps the other 10,000 of the 60,000 for validation
EPOCHS, BATCH, ETA = 30, 10, 3.0
SEEDS = 12
SOURCE = "Nielsen, Neural Networks and Deep Learning, chapter 1, the best of three runs"


def reproduction(hidden: int, wanted: float) -> Reproduction:
    """The book's network with so many hidden neurons, which is to name that percentage of the test digits."""
    text = (
        f"784-{hidden}-10 sigmoids (quadratic cost, η {ETA:g}, mini-batches of {BATCH}, {EPOCHS} epochs) "
        f"name {wanted:g} % of the 10,000 test digits after the best epoch of the best of three runs."
    )
    rule = f"in at least half of all threes among {SEEDS} runs, one reaches {wanted:g} % after some epoch"
    settings = {"eta": ETA, "batch": BATCH, "epochs": EPOCHS, "trained on": TRAINED_ON, "seeds": SEEDS}
    claim = Claim(f"nielsen-{hidden}", text, SOURCE, rule, settings)
    return Reproduction(claim, partial(measure, hidden, wanted), long=hidden > 30)


def measure(hidden: int, wanted: float, folder: Path | None = None, say: Say = silent) -> Finding:
    """All runs, on one thread, whose sums are alike every time: the bits decide whether an output sticks."""
    with threadpool_limits(1):
        by_epoch = 100 * np.array([run(hidden, seed, say) for seed in range(SEEDS)])  # (SEEDS, EPOCHS)
    peaks = by_epoch.max(axis=1)
    reached = int(np.sum(peaks >= wanted))
    share = best_of_three(reached, SEEDS)
    measured = (
        f"best epochs: {spread(peaks, '{:.2f} %')}; {reached} reach {wanted:g} %, "
        f"and so does the best of three in {share:.0%} of all threes"
    )
    runs = {
        "best epochs in percent": peaks.round(2).tolist(),
        "last epochs in percent": by_epoch[:, -1].round(2).tolist(),
    }
    return Finding(measured, share >= 0.5, runs)


def best_of_three(reached: int, runs: int) -> float:
    """The share of all threes of the runs that hold at least one of those that reached it."""
    return 1 - comb(runs - reached, 3) / comb(runs, 3)


def run(hidden: int, seed: int, say: Say, epochs: int = EPOCHS) -> list[float]:
    """The accuracy on the test images after each epoch, in float64 as the book's."""
    data = mnist()
    layers = dense((hidden, 10), "sigmoid", "sigmoid", "normal")
    net = gpunn.Network(784, layers, "quadratic", seed, "float64")
    history = net.fit(
        data.train.X[:, :TRAINED_ON],
        data.train.y[:TRAINED_ON],
        epochs=epochs,
        batch_size=BATCH,
        optimizer=gpunn.SGD(ETA),
        validation=(data.test.X, data.test.y),
        device="cpu",
        on_epoch_end=lambda record: say(f"seed {seed}, epoch {record.epoch} of {epochs}"),
    )
    return [record.validation_accuracy or 0.0 for record in history]
