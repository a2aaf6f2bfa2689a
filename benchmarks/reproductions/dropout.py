"""Inverted dropout: it preserves activations on average in training, and exactly afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Progress, Reproduction, in_training, no_progress

RATES = (0.2, 0.5, 0.8)
UNITS, EXAMPLES = 200, 50
MASKS = 1000
SIGMAS = 6.0  # by chance, one of 30,000 means deviates that far in 1 of 17,000 such checks
CLAIM = Claim(
    "dropout",
    "Inverted dropout, which divides the activations that it keeps by the fraction kept, does not change the "
    "expected activation; at test time nothing is dropped or scaled.",
    "Srivastava et al. 2014, Dropout, section 10; CS231n, notes on neural networks 2: inverted dropout",
    f"each activation's mean over {MASKS:,} masks is within {SIGMAS:g} standard errors of its value without "
    "dropout, and at test time the outputs with and without dropout are bitwise identical",
    {"rates": RATES, "units": UNITS, "examples": EXAMPLES, "masks": MASKS, "seed": 0},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the hidden activations of a 30-200 network of sigmoids at three rates."""
    X = np.random.default_rng(0).standard_normal((30, EXAMPLES))
    found, same = {}, True
    for rate in RATES:
        progress(f"rate {rate}")
        net, plain = build(rate), build(0.0)
        same &= np.array_equal(net.forward(X), plain.forward(X))
        found[rate] = deviations(net, X, plain.forward(X), rate)
    worst = max(one["standard errors"] for one in found.values())
    off = ", ".join(f"{one['change in percent']:+.2f} % at {rate:g}" for rate, one in found.items())
    measured = (
        f"the mean activation changes by {off}; none of the {UNITS * EXAMPLES:,} activations at each rate "
        f"deviates by more than {worst:.1f} standard errors; at test time the outputs "
        f"{'are bitwise identical' if same else 'differ'}"
    )
    return Finding(measured, worst < SIGMAS and same, {f"rate {rate}": one for rate, one in found.items()})


def build(rate: float) -> gpunn.Network:
    """Build a layer of sigmoids in float64, followed by an output layer that is the identity."""
    hidden = gpunn.Dense(UNITS, "sigmoid", "scaled", dropout=rate)
    net = gpunn.Network(30, [hidden, gpunn.Dense(UNITS, "identity", "zeros")], seed=0, dtype="float64")
    net.weights[1][:] = np.eye(UNITS)
    return net


def deviations(net: gpunn.Network, X: np.ndarray, a: np.ndarray, rate: float) -> dict[str, float]:
    """Compare the means over many masks with the activations a (n, m), overall and one by one."""
    mean = np.zeros_like(a)
    for key in range(MASKS):
        mean += in_training(net, X, key) / MASKS
    error = a * np.sqrt(rate / (1 - rate) / MASKS)  # the standard deviation of such a mean
    return {
        "change in percent": float(100 * (mean.mean() / a.mean() - 1)),
        "standard errors": float(np.abs((mean - a) / error).max()),
    }


REPRODUCTION = Reproduction(CLAIM, measure)
