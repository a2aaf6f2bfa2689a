"""A small network with a hidden layer, computed by scalar formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    dense,
    largest_difference,
    no_progress,
    parameters,
)

CLAIM = Claim(
    "two-layer-by-hand",
    "The five steps of training a 2-3-1 network (initialise, forward, loss, backward, update) give the same "
    "numbers with scalar formulas as with matrices.",
    "a common first worked example; equations from Nielsen, Neural Networks and Deep Learning, chapter 2",
    "the largest difference in any step is below 1e-14",
)
EXAMPLES = [((0.0, 0.0), 0.0), ((0.0, 1.0), 1.0), ((1.0, 0.0), 1.0), ((1.0, 1.0), 0.0)]  # exclusive or
SEED, ETA = 3, 0.5
Scalars = dict[str, float]  # w11 connects input 1 to hidden unit 1, and v1 connects that unit to the output


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Compute each step both ways in float64 and compare."""
    X = np.array([x for x, _ in EXAMPLES]).T
    y = np.array([[y for _, y in EXAMPLES]])
    net = gpunn.Network(2, dense((3, 1), "sigmoid", "sigmoid", "normal"), "quadratic", SEED, "float64")
    hand = initialise()
    differences = {"initialise": largest_difference(parameters(net), matrices(hand))}
    passes = [forward(hand, x) for x, _ in EXAMPLES]
    differences["forward"] = largest_difference([net.forward(X)], [np.array([[p["a"] for p in passes]])])
    mean_loss = sum((p["a"] - y) ** 2 / 2 for p, (_, y) in zip(passes, EXAMPLES, strict=True)) / 4
    differences["loss"] = abs(net.evaluate(X, y)[0] - mean_loss)
    gradient = backward(hand, passes)
    dw, db = zip(*net.gradients(X, y), strict=True)
    differences["backward"] = largest_difference([*dw, *db], matrices(gradient))
    net.fit(X, y, epochs=1, batch_size=4, optimizer=gpunn.SGD(ETA), device="cpu")
    updated = {name: hand[name] - ETA * gradient[name] for name in hand}
    differences["update"] = largest_difference(parameters(net), matrices(updated))
    measured = "largest differences: " + ", ".join(f"{step} {d:.0e}" for step, d in differences.items())
    moved = max(abs(g) for g in gradient.values())
    return Finding(measured, moved > 1e-3 and max(differences.values()) < 1e-14, differences)


def named(value: Callable[[], float]) -> Scalars:
    """Make the 13 scalars in the order in which gpunn draws them: w and b of layer 1, v and c of layer 2."""
    names = ["w11", "w12", "w21", "w22", "w31", "w32", "b1", "b2", "b3", "v1", "v2", "v3", "c"]
    return {name: value() for name in names}


def initialise() -> Scalars:
    """Draw each weight and bias from N(0, 1)."""
    return named(np.random.default_rng(SEED).standard_normal)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def forward(p: Scalars, x: tuple[float, float]) -> Scalars:
    """Return the inputs, the hidden activations and the output of one example."""
    h1 = sigmoid(p["w11"] * x[0] + p["w12"] * x[1] + p["b1"])
    h2 = sigmoid(p["w21"] * x[0] + p["w22"] * x[1] + p["b2"])
    h3 = sigmoid(p["w31"] * x[0] + p["w32"] * x[1] + p["b3"])
    a = sigmoid(p["v1"] * h1 + p["v2"] * h2 + p["v3"] * h3 + p["c"])
    return {"x1": x[0], "x2": x[1], "h1": h1, "h2": h2, "h3": h3, "a": a}


def backward(p: Scalars, passes: list[Scalars]) -> Scalars:
    """Return the gradient of the mean of (a − y)²/2, by the chain rule for each scalar."""
    mean = named(lambda: 0.0)
    for s, (_, y) in zip(passes, EXAMPLES, strict=True):
        delta = (s["a"] - y) * s["a"] * (1 - s["a"])
        mean["c"] += delta / len(passes)
        for j in "123":
            h = s[f"h{j}"]
            hidden = p[f"v{j}"] * delta * h * (1 - h)
            mean[f"v{j}"] += delta * h / len(passes)
            mean[f"b{j}"] += hidden / len(passes)
            mean[f"w{j}1"] += hidden * s["x1"] / len(passes)
            mean[f"w{j}2"] += hidden * s["x2"] / len(passes)
    return mean


def matrices(p: Scalars) -> list[np.ndarray]:
    """Arrange the scalars as w (3, 2), v (1, 3), b (3, 1) and c (1, 1)."""
    w = np.array([[p[f"w{j}{i}"] for i in "12"] for j in "123"])
    b = np.array([[p[f"b{j}"]] for j in "123"])
    return [w, np.array([[p["v1"], p["v2"], p["v3"]]]), b, np.array([[p["c"]]])]


REPRODUCTION = Reproduction(CLAIM, measure)
