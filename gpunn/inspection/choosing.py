"""The measures of `--metric`: they choose when to stop, the epoch to keep, and the best of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gpunn.inspection.scores import PROBABILISTIC, SCORES, balanced_accuracy, normalised
from gpunn.names import name_in
from gpunn.training.fit_options import Score

MEASURED = {"loss": "validation_loss", "accuracy": "validation_accuracy"}  # recorded in every epoch anyway
LOSSES = ("log_loss", "brier", "rmse", "mae")  # less is better
OF_NUMBERS = ("rmse", "mae", "r2")


def choices(*, classes: bool) -> list[str]:
    """Return the names of the measures for classes, or for numbers."""
    return ["loss", *(["accuracy", *SCORES] if classes else OF_NUMBERS)]


def choose(name: str | None, usual: str, *, classes: bool) -> tuple[str, Score | None]:
    """Return the field of `Record` to choose by, and the score to record if the field is a score.

    name: the measure; None for the usual field. Raises ValueError for an unknown measure.
    """
    if name is None:
        return usual, None
    name = name_in(choices(classes=classes), name.removeprefix("validation_"), "metric")
    if name in MEASURED:
        return MEASURED[name], None
    return "validation_score", Score(partial(score_classes if classes else score_numbers, name))


def score_classes(name: str, outputs: np.ndarray, y: np.ndarray) -> float:
    """Return a score of outputs (n_out, m) for class numbers y (m,); higher is better.

    Raises ValueError if the rows have only one class, so that nothing can be ranked.
    """
    p = outputs if len(outputs) > 1 else np.concatenate([1 - outputs, outputs])
    if name == "balanced_accuracy":
        return balanced_accuracy(y, np.argmax(p, axis=0))
    value = PROBABILISTIC[name](y, normalised(p))
    if value is None:
        raise ValueError(f"--metric {name} needs held-out rows of two classes, but all have the same class")
    return -value if name in LOSSES else value


def score_numbers(name: str, outputs: np.ndarray, y: np.ndarray) -> float:
    """Return a score of outputs (n_out, m) for targets y (n_out, m) or (m,); higher is better.

    Of several outputs, which are quantiles, the middle one counts.
    """
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    measures: dict[str, Callable[..., float]] = {
        "rmse": root_mean_squared_error,
        "mae": mean_absolute_error,
        "r2": r2_score,
    }
    value = float(measures[name](np.atleast_2d(y)[0], outputs[len(outputs) // 2]))
    return -value if name in LOSSES else value
