"""The network of 3Blue1Brown's videos, and its answers to noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions import pictures
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    accuracy,
    mnist,
    no_progress,
    spread,
)
from benchmarks.reproductions.recipe import Recipe, Search

RECIPE = Recipe(
    (16, 16, 10),
    "sigmoid",
    "sigmoid",
    "quadratic",
    eta=1.0,
    epochs=60,
    batch_size=100,
    init="scaled",
    momentum=0.0,
    schedule=None,
)
SEARCHES = {
    "three-blue": (
        RECIPE,
        Search({"eta": (1.0, 3.0, 10.0), "init": ("normal", "scaled"), "epochs": (30, 60)}),
    )
}
SEEDS = 3
NOISE = 1000  # number of noise images
SURE = 0.5  # an answer is confident if its output is larger
CLAIM = Claim(
    "three-blue",
    "A 784-16-16-10 network of sigmoids with 13,002 parameters (quadratic cost, mini-batches of 100) "
    "classifies about 96 % of new digits correctly, and gives confident answers to noise as well.",
    "3Blue1Brown, Deep Learning, chapters 1 and 2",
    f"the median accuracy of {SEEDS} runs on the test digits is at least 95.5 %, and in every run most noise "
    f"images have an output above {SURE}; η, the initialiser and the epochs are chosen on a held-out tenth "
    "of the training images",
    {"recipe": RECIPE.settings(), "seeds": SEEDS, "chosen on a held-out tenth": ["eta", "init", "epochs"]},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the test accuracy and the answers to uniform noise, and count the parameters."""
    data = mnist()
    noise = np.random.default_rng(0).integers(0, 256, (784, NOISE), np.uint8)
    nets = [RECIPE.train(data.train, seed, progress) for seed in range(SEEDS)]
    right = np.array([100 * accuracy(net, data.test.X, data.test.y) for net in nets])
    largest = np.array([net.forward(noise).max(axis=0) for net in nets])  # (SEEDS, NOISE)
    sure = np.mean(largest > SURE, axis=1)
    measured = (
        f"{nets[0].parameters:,} parameters; accuracy after {RECIPE.epochs} epochs: "
        f"{spread(right, '{:.2f} %')}; an output above {SURE} for {np.min(sure):.0%} to {np.max(sure):.0%} "
        f"of {NOISE:,} noise images"
    )
    passed = nets[0].parameters == 13_002 and np.median(right) >= 95.5 and bool((sure > 0.5).all())
    runs = {
        "accuracies in percent": right.round(2).tolist(),
        "share of noise answered with confidence": sure.round(3).tolist(),
        "median of the largest output for noise": np.median(largest, axis=1).round(3).tolist(),
    }
    return Finding(measured, bool(passed), runs, draw(nets[0], noise[:, :4], folder))


def draw(net: gpunn.Network, noise: np.ndarray, folder: Path | None) -> tuple[Path, ...]:
    """Draw the first layer's weights and the answers to noise, if there is a folder."""
    if not folder:
        return ()
    return (
        pictures.weights(net.weights[0], folder / "three-blue-weights.png"),
        pictures.noise(noise, net.forward(noise), folder / "three-blue-noise.png"),
    )


REPRODUCTION = Reproduction(CLAIM, measure)
