"""The first network of Nielsen's book, which classifies handwritten digits."""

from __future__ import annotations

from functools import partial
from math import comb
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions import pictures
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
SOURCE = "Nielsen, Neural Networks and Deep Learning, chapter 1, the best of three runs"


def reproduction(hidden: int, wanted: float, seeds: int) -> Reproduction:
    """Make the reproduction for a number of hidden neurons, an accuracy in percent, and a number of runs."""
    text = (
        f"A 784-{hidden}-10 network of sigmoids (quadratic cost, η = {ETA:g}, mini-batches of {BATCH}, "
        f"{EPOCHS} epochs) classifies {wanted:g} % of the 10,000 test digits correctly after the best epoch "
        "of the best of three runs."
    )
    rule = f"in at least half of all triples of {seeds} runs, one run reaches {wanted:g} % after some epoch"
    settings = {"eta": ETA, "batch": BATCH, "epochs": EPOCHS, "trained on": TRAINED_ON, "seeds": seeds}
    claim = Claim(f"nielsen-{hidden}", text, SOURCE, rule, settings)
    return Reproduction(claim, partial(measure, hidden, wanted, seeds), long=True)


def measure(
    hidden: int, wanted: float, seeds: int, folder: Path | None = None, progress: Progress = no_progress
) -> Finding:
    """Train all runs at once, each on one thread: its bits decide whether an output sticks."""
    by_epoch = 100 * accuracies(hidden, seeds, progress)
    peaks = by_epoch.max(axis=1)
    reached = int(np.sum(peaks >= wanted))
    share = best_of_three(reached, seeds)
    measured = (
        f"best epochs: {spread(peaks, '{:.2f} %')}; {reached} of {seeds} runs reached "
        f"{wanted:g} %, as did the best of three in {share:.0%} of all triples"
    )
    runs = {
        "best epochs in percent": peaks.round(2).tolist(),
        "last epochs in percent": by_epoch[:, -1].round(2).tolist(),
    }
    title = f"{seeds} runs of the book's 784-{hidden}-10"
    drawn = (pictures.runs(peaks, wanted, title, folder / f"nielsen-{hidden}.png"),) if folder else ()
    return Finding(measured, share >= 0.5, runs, drawn)


def best_of_three(reached: int, runs: int) -> float:
    """Return the fraction of all triples of the runs that contain a run that reached the accuracy."""
    return 1 - comb(runs - reached, 3) / comb(runs, 3)


def accuracies(hidden: int, seeds: int, progress: Progress, epochs: int = EPOCHS) -> np.ndarray:
    """Return the test accuracy of each run after each epoch (seeds, epochs), in float64 as in the book."""
    data = mnist()
    result = gpunn.sweep(
        data.train.X[:, :TRAINED_ON],
        data.train.y[:TRAINED_ON],
        dense((hidden, 10), "sigmoid", "sigmoid", "normal"),
        "quadratic",
        seeds=seeds,
        dtype="float64",
        epochs=epochs,
        batch_size=BATCH,
        optimizer=gpunn.SGD(ETA),
        validation=(data.test.X, data.test.y),
        device="cpu",
        on_network_end=lambda end: progress(f"run {end.done} of {end.total}"),
    )
    if result.interrupted:
        raise KeyboardInterrupt
    return np.array([[record.validation_accuracy for record in result.history(k)] for k in range(seeds)])
