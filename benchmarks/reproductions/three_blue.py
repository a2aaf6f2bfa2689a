"""The network of 3Blue1Brown's films, and what it makes of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, Say, accuracy, mnist, silent, spread
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
NOISE = 1000  # images of it
SURE = 0.5  # an output above which an answer counts as confident
CLAIM = Claim(
    "three-blue",
    "784-16-16-10 sigmoids, 13,002 parameters (quadratic cost, mini-batches of 100), learn to name about "
    "96 % of new digits, and answer noise with confidence, too.",
    "3Blue1Brown, Deep Learning, chapters 1 and 2",
    f"the median of {SEEDS} runs names 95.5 % or more of the test digits, and in every run an output above "
    f"{SURE} answers most images of noise; η, first weights and epochs chosen on a held-out tenth of the "
    "training images",
    {"recipe": RECIPE.settings(), "seeds": SEEDS, "chosen on a held-out tenth": ["eta", "init", "epochs"]},
)


def measure(folder: Path | None = None, say: Say = silent) -> Finding:
    """Its parameters, its accuracy on the test images, and its answers to uniform noise."""
    data = mnist()
    noise = np.random.default_rng(0).integers(0, 256, (784, NOISE), np.uint8)
    nets = [RECIPE.train(data.train, seed, say) for seed in range(SEEDS)]
    right = np.array([100 * accuracy(net, data.test.X, data.test.y) for net in nets])
    largest = np.array([net.forward(noise).max(axis=0) for net in nets])  # (SEEDS, NOISE)
    sure = np.mean(largest > SURE, axis=1)
    measured = (
        f"{nets[0].parameters:,} parameters; {spread(right, '{:.2f} %')} named after {RECIPE.epochs} epochs; "
        f"an output above {SURE} for {np.min(sure):.0%} to {np.max(sure):.0%} of {NOISE:,} images of noise"
    )
    passed = nets[0].parameters == 13_002 and np.median(right) >= 95.5 and bool((sure > 0.5).all())
    runs = {
        "accuracies in percent": right.round(2).tolist(),
        "share of noise answered with confidence": sure.round(3).tolist(),
        "median of the largest output for noise": np.median(largest, axis=1).round(3).tolist(),
    }
    return Finding(measured, bool(passed), runs, draw(nets[0], noise[:, :4], folder))


def draw(net: gpunn.Network, noise: np.ndarray, folder: Path | None) -> tuple[Path, ...]:
    """The first layer's weights, and answers to noise."""
    if not folder:
        return ()
    from benchmarks.reproductions import pictures

    return (
        pictures.weights(net.weights[0], folder / "three-blue-weights.png"),
        pictures.noise(noise, net.forward(noise), folder / "three-blue-noise.png"),
    )


REPRODUCTION = Reproduction(CLAIM, measure)
