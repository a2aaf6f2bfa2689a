"""Measure predictions: of a network, of the best constant, and over the folds of cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpunn.inspection.metrics import UNITS
from gpunn.predictor import Predictor
from gpunn.tables.target import Measures, Target


def evaluate(
    target: Target, net: Predictor, X: np.ndarray, y: np.ndarray, device: str = "cpu"
) -> tuple[np.ndarray, Measures]:
    """Return a network's outputs (n_out, m) for X (n_features, m), its loss and the target's measures."""
    outputs, loss, _ = net.examine(X, target.for_network(y), device=device)
    return outputs, {"loss": loss, **target.measure(y, target.decode(net, outputs))}


def measure_constant(target: Target, y: np.ndarray, constant: float) -> Measures:
    """Return the measures of predicting the same for every row."""
    return target.measure(y, np.full(len(y), constant))


def summarise_folds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the folds, the mean and standard deviation of each measure, and the mean of the baseline.

    Failed folds do not count. The standard deviation of a single fold is None, and without a fold there is no
    measure at all.
    """
    good = [fold for fold in found if "failed" not in fold]
    names = [name for name in ("loss", *UNITS) if good and good[0].get(name) is not None]
    values = {name: [fold[name] for fold in good] for name in names}
    measures = [name for name in names if name in UNITS]
    return {
        "folds": list(found),
        "mean": {name: float(np.mean(v)) for name, v in values.items()},
        "std": {name: float(np.std(v, ddof=1)) if len(good) > 1 else None for name, v in values.items()},
        "baseline": {name: float(np.mean([fold["baseline"][name] for fold in good])) for name in measures},
    }
