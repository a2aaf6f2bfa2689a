"""Measure predictions: of a network, of the best constant, and over the folds of cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpunn.inspection.metrics import UNITS
from gpunn.inspection.scores import INTERVALS, SCORES
from gpunn.predictor import Predictor
from gpunn.tables.quantity import Measures
from gpunn.tables.target import Target


def evaluate(
    target: Target, net: Predictor, X: np.ndarray, y: np.ndarray, device: str = "cpu"
) -> tuple[np.ndarray, Measures]:
    """Return a network's outputs (n_out, m) for X (n_features, m), its loss and the target's measures."""
    outputs, loss, _ = net.examine(X, target.for_network(y), device=device)
    measures = target.measure(y, target.decode(net, outputs)) | target.score(y, net, outputs)
    return outputs, {"loss": loss, **measures}


def measure_constant(target: Target, y: np.ndarray, constant: float) -> Measures:
    """Return the measures of predicting the same for every row."""
    return target.measure(y, np.full(len(y), constant))


def summarise_folds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the folds, the mean and standard deviation of each measure, and the mean of the baseline.

    Failed folds do not count, nor do folds that lack a measure. The standard deviation of a single fold is
    None, and without a fold there is no measure at all.
    """
    good = [fold for fold in found if "failed" not in fold]
    values = {name: _known(good, name) for name in ("loss", *UNITS, *SCORES, *INTERVALS)}
    values = {name: known for name, known in values.items() if known}
    always = {name: _known([fold["baseline"] for fold in good], name) for name in values}
    return {
        "folds": list(found),
        "mean": {name: float(np.mean(v)) for name, v in values.items()},
        "std": {name: float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in values.items()},
        "baseline": {name: float(np.mean(v)) for name, v in always.items() if v},
    }


def _known(found: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Return a measure of each fold that has it."""
    return [fold[name] for fold in found if fold.get(name) is not None]
