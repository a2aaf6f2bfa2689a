"""The default settings for tables: networks as good as gradient boosting.

Eight networks are trained and averaged, each with the weights of its best epoch on a fifth of the rows of its
own. Together they learn from all the rows: the fifths of five consecutive seeds do not overlap. Their inputs
are the scaled numbers beside their piecewise-linear codes (`gpunn.tables.preprocessing`).

The settings were chosen on one half of the tables of `python -m benchmarks.tables`, which reports the other
half. Sources: Gorishniy et al. 2022 (codes), Holzmüller et al. 2024 (RealMLP: scaling and clipping),
Gorishniy et al. 2025 (TabM: averaged networks that choose an epoch).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.tables.target import Target

PARTS = 5  # each network chooses its epoch on one part of this many
EPOCHS, FEWEST_EPOCHS, EXAMPLES = 40, 10, 4_000_000  # at most so many examples, in at least so many epochs


def defaults(y: np.ndarray, target: Target) -> dict[str, Any]:
    """Return the default settings for rows with these targets (m,) to train on."""
    return defaults_for(len(y), target, held=len(stopping_rows(y, target, PARTS - 1)) > 0)


def defaults_for(m: int, target: Target, *, held: bool) -> dict[str, Any]:
    """Return the default settings for m rows to train on. held: whether others choose the epoch."""
    epochs = int(np.clip(EXAMPLES // m, FEWEST_EPOCHS, EPOCHS))
    return {
        "hidden": [256, 256],
        "output_activation": target.output_activation,
        "dropout": 0.15,
        "optimizer": "adamw",
        "learning_rate": 0.004,
        "l2": 0.03,
        "schedule": "cosine",
        "epochs": epochs,
        "batch_size": int(np.clip(m // 40, 16, 256)),
        "patience": epochs if held else 0,
        "ensemble": 8,
    }


def stopping_rows(y: np.ndarray, target: Target, seed: int) -> np.ndarray:
    """Return the rows that choose the epoch of the network with this seed, ascending.

    Each class with two rows or more keeps its share of both parts; a class of one row is trained on.
    """
    order = np.random.default_rng(seed // PARTS).permutation(len(y))
    classes = target.strata(y)
    if classes is not None:
        order = order[np.bincount(classes)[classes[order]] > 1]
        order = order[np.argsort(classes[order], kind="stable")]
    return np.sort(order[seed % PARTS :: PARTS])
