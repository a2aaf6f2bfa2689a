"""A small table from a file: three varieties of wheat, seven measurements per kernel."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    accuracy,
    data_file,
    dense,
    no_progress,
    parameters,
    spread,
)

FILE = "wheat-seeds.csv"
WHAT = "the UCI data set 'seeds', with 7 measurements and the class 1, 2 or 3 on each line"
COLUMNS = 8
EPOCHS, ETA, FOLDS = 500, 0.3, 5
DEALS = 10  # random assignments of the seeds to folds; the source has one
CLAIM = Claim(
    "wheat-seeds",
    "A 7-5-3 network (min-max scaling, learning rate 0.3, 500 epochs, one example at a time) classifies "
    "about 93 % of the wheat seeds correctly in 5-fold cross-validation, against 28 % for the most common "
    "class (zero rule).",
    "Brownlee, How to Code a Neural Network with Backpropagation in Python; data: UCI seeds, Charytanowicz "
    "et al. 2010",
    f"the median accuracy over {DEALS} random assignments of the seeds to folds is at least 92.5 %, and the "
    "zero rule's is at most a third",
    {"eta": ETA, "epochs": EPOCHS, "folds": FOLDS, "deals": DEALS, "first weights": "uniform in 0…1"},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Measure the mean accuracy over the folds, for each assignment to folds."""
    X, labels = read(data_file(FILE, WHAT))
    scores = np.array(
        [cross_validate(X, labels, seed, progress, EPOCHS) for seed in range(DEALS)]
    )  # (DEALS, FOLDS, 2)
    ours, zero = 100 * scores.mean(axis=1).T
    measured = f"{spread(ours, '{:.1f} %')}, zero rule {np.median(zero):.1f} %, {len(labels)} seeds"
    runs = {"accuracies in percent": ours.round(2).tolist(), "zero rule": zero.round(2).tolist()}
    return Finding(measured, bool(np.median(ours) >= 92.5 and np.median(zero) <= 100 / 3), runs)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read rows (m, 7) and classes 0…2; commas, semicolons or blanks, even repeated, separate columns."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        fields = [field for field in re.split(r"[,;\s]+", line.strip()) if field]
        if not fields:
            continue
        if len(fields) != COLUMNS:
            raise ValueError(f"{path}, line {number}: {len(fields)} values, expected {COLUMNS}")
        rows.append([float(field) for field in fields])
    table = np.array(rows).reshape(-1, COLUMNS)
    if not len(table) or not np.isin(table[:, -1], (1, 2, 3)).all():
        raise ValueError(f"{path}: the last column must be the class 1, 2 or 3")
    return table[:, :-1], table[:, -1].astype(int) - 1


def cross_validate(
    X: np.ndarray, labels: np.ndarray, seed: int, progress: Progress, epochs: int
) -> list[tuple[float, float]]:
    """Return the accuracies of the network and the zero rule on each fold, scaled by the other folds."""
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import MinMaxScaler

    scores: list[tuple[float, float]] = []
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(X):
        progress(f"assignment {seed + 1}, fold {len(scores) + 1} of {FOLDS}")
        scaler = MinMaxScaler().fit(X[train])
        net = gpunn.Network(7, dense((5, 3), "sigmoid", "sigmoid"), "quadratic", seed)
        for theta in parameters(net):
            theta[:] = net.rng.random(theta.shape)  # uniform in 0…1, as in the source
        columns = scaler.transform(X[train]).T
        net.fit(columns, labels[train], epochs=epochs, batch_size=1, optimizer=gpunn.SGD(ETA), device="cpu")
        most_common = np.argmax(np.bincount(labels[train]))
        right = accuracy(net, scaler.transform(X[test]).T, labels[test])
        scores.append((right, float(np.mean(labels[test] == most_common))))
    return scores


REPRODUCTION = Reproduction(CLAIM, measure)
