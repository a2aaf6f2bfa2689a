"""Fully connected networks in MNIST's table of results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Progress, Reproduction, mnist, no_progress, spread
from benchmarks.reproductions.recipe import Recipe, Search, errors

TABLE = "MNIST's table of results (LeCun, Cortes and Burges)"
SIMARD = "Simard, Steinkraus and Platt 2003, Best practices for convolutional neural networks"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        error: the published test error in percent, with all its decimals.
        searched: settings that the source leaves open, chosen on a held-out tenth of the training images.
        seeds: the number of runs in the median.
    """

    name: str
    text: str
    source: str
    error: str
    recipe: Recipe
    searched: Search
    seeds: int = 3
    long: bool = False


def images(**settings: float) -> gpunn.Augmentation:
    return gpunn.Augmentation((28, 28), **settings)


MODEST = {"shift": 1.0, "rotate": 7.5, "scale": 0.075}
STRONG = {"shift": 2.0, "rotate": 15.0, "scale": 0.15}
QUADRATIC = Recipe((300, 10), "tanh", "sigmoid", "quadratic", eta=0.1, epochs=20, batch_size=32)
DECAYED = Recipe((500, 300, 10), "relu", "softmax", "cross-entropy", eta=0.1, epochs=20, batch_size=128)
WIDE = Recipe((800, 10), "relu", "softmax", "cross-entropy", eta=0.1, epochs=30, batch_size=128)

ROWS = (
    Row(
        "mlp-mnist-300",
        "A network of 300 hidden units with the quadratic cost has a test error of 4.7 % on MNIST.",
        f"{TABLE}: 2-layer NN, 300 hidden units, mean square error (LeCun et al. 1998)",
        "4.7",
        QUADRATIC,
        Search({"eta": (0.03, 0.1, 0.3)}),
    ),
    Row(
        "mlp-mnist-500-300",
        "A network of 500 and 300 hidden units with softmax, cross-entropy and weight decay has a test error "
        "of 1.53 %.",
        f"{TABLE}: 3-layer NN, 500+300 HU, softmax, cross entropy, weight decay (Hinton 2005)",
        "1.53",
        replace(DECAYED, l2=1e-4),
        Search({"eta": (0.03, 0.1), "l2": (1e-5, 1e-4, 3e-4)}),
    ),
    Row(
        "mlp-mnist-800-plain",
        "A network of 800 hidden units with cross-entropy has a test error of 1.6 %.",
        f"{TABLE}: 2-layer NN, 800 HU, cross-entropy loss; {SIMARD}",
        "1.6",
        replace(WIDE, eta=0.3),
        Search({"eta": (0.03, 0.1, 0.3), "hidden": ("relu", "tanh")}),
        long=True,
    ),
    Row(
        "mlp-mnist-800-affine",
        "A network of 800 hidden units with cross-entropy and affine distortions has a test error of 1.1 %.",
        f"{TABLE}: 2-layer NN, 800 HU, cross-entropy [affine distortions]; {SIMARD}",
        "1.1",
        replace(WIDE, epochs=100, augmentation=images(**STRONG)),
        Search({"augmentation": (images(**MODEST), images(**STRONG))}, epochs=20),
        seeds=1,
        long=True,
    ),
    Row(
        "mlp-mnist-800-elastic",
        "A network of 800 hidden units with cross-entropy and elastic distortions has a test error of 0.7 %.",
        f"{TABLE}: 2-layer NN, 800 HU, cross-entropy [elastic distortions]; {SIMARD} (σ 4, α 34)",
        "0.7",
        replace(WIDE, epochs=200, augmentation=images(elastic=34, smoothness=4, **MODEST)),
        Search(
            {
                "augmentation": tuple(
                    images(elastic=34, smoothness=4, **more) for more in ({}, MODEST, STRONG)
                )
            },
            epochs=20,
        ),
        seeds=1,
        long=True,
    ),
)


def measure(row: Row, folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the test error after the last epoch; no epoch is chosen on the test images."""
    data = mnist()
    found = 100 * errors(row.recipe, data.train, data.test, row.seeds, progress)
    decimals = len(row.error.partition(".")[2])
    passed = round(float(np.median(found)), decimals) <= float(row.error)
    measured = f"{spread(found, '{:.2f} %')} after {row.recipe.epochs} epochs"
    return Finding(measured, passed, {"errors in percent": found.round(2).tolist()})


def reproduction(row: Row) -> Reproduction:
    """Make the reproduction of a row."""
    error = f"median test error of {row.seeds} runs" if row.seeds > 1 else "test error of one run"
    chosen = list(row.searched.choices)
    rule = (
        f"the {error}, rounded like the published figure, is at most {row.error} %, with "
        f"{' and '.join(chosen)} chosen on a held-out tenth of the training images"
    )
    settings = {"recipe": row.recipe.settings(), "seeds": row.seeds, "chosen on a held-out tenth": chosen}
    claim = Claim(row.name, row.text, row.source, rule, settings)
    return Reproduction(claim, partial(measure, row), row.long)


REPRODUCTIONS = [reproduction(row) for row in ROWS]
SEARCHES = {row.name: (row.recipe, row.searched) for row in ROWS}
