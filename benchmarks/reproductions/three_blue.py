"""The network of 3Blue1Brown's films, and what it makes of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, accuracy, dense, mnist

CLAIM = Claim(
    "three-blue",
    "A 784-16-16-10 network of sigmoids with 13,002 parameters (quadratic cost, mini-batches of 100) learns "
    "to name about 96 % of new digits, and names noise with confidence, too.",
    "3Blue1Brown, Deep Learning, chapters 1 and 2: But what is a neural network?; Gradient descent, how "
    "neural networks learn",
)
NOISE = 1000  # images of it
SURE = 0.5  # an output above which an answer counts as confident


def measure(folder: Path | None = None, epochs: int = 60) -> Finding:
    """Its parameters, its accuracy on the test images, and its answers to uniform noise."""
    data = mnist()
    layers = dense((16, 16, 10), "sigmoid", "sigmoid", "scaled")
    net = gpunn.Network(784, layers, "quadratic", seed=0)
    optimizer = gpunn.SGD(3.0)
    net.fit(data.train.X, data.train.y, epochs=epochs, batch_size=100, optimizer=optimizer, device="cpu")
    right = accuracy(net, data.test.X, data.test.y)
    noise = np.random.default_rng(0).integers(0, 256, (784, NOISE), np.uint8)
    outputs = net.forward(noise)
    largest = outputs.max(axis=0)
    sure, middle = float(np.mean(largest > SURE)), float(np.median(largest))
    figures = []
    if folder:
        from benchmarks.reproductions import pictures

        figures.append(pictures.weights(net.weights[0], folder / "three-blue-weights.png"))
        figures.append(pictures.noise(noise[:, :4], outputs[:, :4], folder / "three-blue-noise.png"))
    measured = (
        f"{net.parameters:,} parameters; {right:.2%} of the test digits after {epochs} epochs; the largest "
        f"output is above {SURE} for {sure:.0%} of {NOISE:,} noise images, its median {middle:.2f}"
    )
    return CLAIM.finding(measured, net.parameters == 13_002 and right >= 0.95 and sure >= 0.5, *figures)


REPRODUCTION = Reproduction(CLAIM, measure)
