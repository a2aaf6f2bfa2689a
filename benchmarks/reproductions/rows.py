"""Examples as rows, as in most Python code, compared with columns."""

from __future__ import annotations

import copy
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

M, BATCH, EPOCHS, ETA = 120, 8, 20, 0.5
CLAIM = Claim(
    "rows",
    "With examples as rows and every product transposed (A W + b instead of w a + b), training gives the "
    "same network.",
    "CS231n's notes and Goodfellow, Bengio and Courville's Deep Learning use rows; Nielsen's Neural "
    "Networks and Deep Learning uses columns",
    "all weights and biases agree to 1e-10",
    {"sizes": [6, 5, 3], "examples": M, "batch": BATCH, "epochs": EPOCHS, "eta": ETA},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Train a 6-5-3 network in float64, with columns in gpunn and with rows in plain NumPy."""
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((M, 6)), np.arange(M) % 3
    net = gpunn.Network(6, dense((5, 3), "tanh", "softmax"), seed=0, dtype="float64")
    first = [theta.copy() for theta in parameters(net)]
    W, V, b, c = (theta.T.copy() for theta in parameters(net))
    order = copy.deepcopy(net.rng)  # draws the orders that fit will draw
    net.fit(rows.T, labels, epochs=EPOCHS, batch_size=BATCH, optimizer=gpunn.SGD(ETA), device="cpu")
    for _ in range(EPOCHS):
        shuffled = order.permutation(M)
        for start in range(0, M, BATCH):
            batch = shuffled[start : start + BATCH]
            step(rows[batch], np.eye(3)[labels[batch]], W, V, b, c)
    apart = largest_difference(parameters(net), [theta.T for theta in (W, V, b, c)])
    moved = largest_difference(parameters(net), first)
    steps = EPOCHS * M // BATCH
    measured = f"after {steps} steps the weights agree to {apart:.0e}, having moved by up to {moved:.2f}"
    return Finding(measured, apart < 1e-10 and moved > 0.01, {"apart": apart, "moved": moved})


def step(X: np.ndarray, Y: np.ndarray, W: np.ndarray, V: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Take one step in place. X (m, n_0), Y (m, n_2); W (n_0, n_1), b (1, n_1); V (n_1, n_2), c (1, n_2)."""
    A = np.tanh(X @ W + b)
    P = np.exp(A @ V + c)
    P /= P.sum(axis=1, keepdims=True)
    error = (P - Y) / len(X)
    hidden = (error @ V.T) * (1 - A**2)
    V -= ETA * A.T @ error
    c -= ETA * error.sum(axis=0)
    W -= ETA * X.T @ hidden
    b -= ETA * hidden.sum(axis=0)


REPRODUCTION = Reproduction(CLAIM, measure)
