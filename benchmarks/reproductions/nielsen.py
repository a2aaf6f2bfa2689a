"""The first network of Nielsen's book, which classifies handwritten digits."""

from __future__ import annotations

from functools import partial
from math import comb
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import gpunn
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    dense,
    mnist,
    no_progress,
    spread,
)

TRAINED_ON = 50_000  # the book keeps the other 10,000 of the 60,000 for validation
EPOCHS, BATCH, ETA = 30, 10, 3.0
SEEDS = 12
SOURCE = "Nielsen, Neural Networks and Deep Learning, chapter 1, the best of three runs"


def reproduction(hidden: int, wanted: float) -> Reproduction:
    """Make the reproduction for a number of hidden neurons and an accuracy in percent."""
    text = (
        f"A 784-{hidden}-10 network of sigmoids (quadratic cost, η = {ETA:g}, mini-batches of {BATCH}, "
        f"{EPOCHS} epochs) classifies {wanted:g} % of the 10,000 test digits correctly after the best epoch "
        "of the best of three runs."
    )
    rule = f"in at least half of all triples of {SEEDS} runs, one run reaches {wanted:g} % after some epoch"
    settings = {"eta": ETA, "batch": BATCH, "epochs": EPOCHS, "trained on": TRAINED_ON, "seeds": SEEDS}
    claim = Claim(f"nielsen-{hidden}", text, SOURCE, rule, settings)
    return Reproduction(claim, partial(measure, hidden, wanted), long=hidden > 30)


def measure(
    hidden: int, wanted: float, folder: Path | None = None, progress: Progress = no_progress
) -> Finding:
    """Measure all runs on one thread, for reproducible bits, which decide whether an output sticks."""
    with threadpool_limits(1):
        by_epoch = 100 * np.array([run(hidden, seed, progress) for seed in range(SEEDS)])  # (SEEDS, EPOCHS)
    peaks = by_epoch.max(axis=1)
    reached = int(np.sum(peaks >= wanted))
    share = best_of_three(reached, SEEDS)
    measured = (
        f"best epochs: {spread(peaks, '{:.2f} %')}; {reached} of {SEEDS} runs reached "
        f"{wanted:g} %, as did the best of three in {share:.0%} of all triples"
    )
    runs = {
        "best epochs in percent": peaks.round(2).tolist(),
        "last epochs in percent": by_epoch[:, -1].round(2).tolist(),
    }
    return Finding(measured, share >= 0.5, runs)


def best_of_three(reached: int, runs: int) -> float:
    """Return the fraction of all triples of the runs that contain a run that reached the accuracy."""
    return 1 - comb(runs - reached, 3) / comb(runs, 3)


def run(hidden: int, seed: int, progress: Progress, epochs: int = EPOCHS) -> list[float]:
    """Return the test accuracy after each epoch, in float64 as in the book."""
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
        on_epoch_end=lambda record: progress(f"seed {seed}, epoch {record.epoch} of {epochs}"),
    )
    return [record.validation_accuracy or 0.0 for record in history]
