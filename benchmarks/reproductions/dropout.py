"""What inverted dropout leaves as it was: the activations, on average in training and exactly after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Reproduction, Say, in_training, silent

RATES = (0.2, 0.5, 0.8)
UNITS, EXAMPLES = 200, 50
MASKS = 1000
SIGMAS = 6.0  # one of 30,000 averages strays that far by chance in one of 17,000 such checks
CLAIM = Claim(
    "dropout",
    "Inverted dropout, which divides what it keeps by the share it keeps, leaves the expected activation as "
    "it was; at test time nothing is dropped or scaled.",
    "Srivastava et al. 2014, Dropout, section 10; CS231n, notes on neural networks 2: inverted dropout",
    f"the mean over {MASKS:,} masks of each activation is within {SIGMAS:g} standard errors of what it is "
    "without dropout; at test time the outputs are the same to the bit with and without",
    {"rates": RATES, "units": UNITS, "examples": EXAMPLES, "masks": MASKS, "seed": 0},
)


def measure(folder: Path | None = None, say: Say = silent) -> Finding:
    """The hidden activations of a 30-200 network of sigmoids, at three rates."""
    X = np.random.default_rng(0).standard_normal((30, EXAMPLES))
    found, same = {}, True
    for rate in RATES:
        say(f"rate {rate}")
        net, plain = build(rate), build(0.0)
        same &= np.array_equal(net.forward(X), plain.forward(X))
        found[rate] = strays(net, X, plain.forward(X), rate)
    worst = max(one["standard errors"] for one in found.values())
    off = ", ".join(f"{one['change in percent']:+.2f} % at {rate:g}" for rate, one in found.items())
    measured = (
        f"the mean activation changes by {off}; of {UNITS * EXAMPLES:,} activations at each rate none strays "
        f"further than {worst:.1f} standard errors; at test time {'the same bits' if same else 'others'}"
    )
    return Finding(measured, worst < SIGMAS and same, {f"rate {rate}": one for rate, one in found.items()})


def build(rate: float) -> gpunn.Network:
    """Sigmoids whose activations an output layer passes on as they are, in float64."""
    hidden = gpunn.Dense(UNITS, "sigmoid", "scaled", dropout=rate)
    net = gpunn.Network(30, [hidden, gpunn.Dense(UNITS, "identity", "zeros")], seed=0, dtype="float64")
    net.weights[1][:] = np.eye(UNITS)
    return net


def strays(net: gpunn.Network, X: np.ndarray, a: np.ndarray, rate: float) -> dict[str, float]:
    """How far the means over many masks are from the activations a (n, m): in all, and of one at most."""
    mean = np.zeros_like(a)
    for key in range(MASKS):
        mean += in_training(net, X, key) / MASKS
    error = a * np.sqrt(rate / (1 - rate) / MASKS)  # the standard deviation of such a mean
    return {
        "change in percent": float(100 * (mean.mean() / a.mean() - 1)),
        "standard errors": float(np.abs((mean - a) / error).max()),
    }


REPRODUCTION = Reproduction(CLAIM, measure)
