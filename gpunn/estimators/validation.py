"""Choose the rows that validate training, and score the network's outputs on them."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from gpunn.estimators.rows import Rows
from gpunn.training.fit_options import ScoreFunction

Scorer = Callable[..., float]  # (outputs (m, n_outputs), X, y[, sample_weight]) ↦ score


@dataclass(frozen=True)
class Split:
    """The indices of the training rows, with `validation` and `score` as `Network.fit` takes them."""

    train: np.ndarray
    validation: Any = None
    score: ScoreFunction | None = None


def given_rows(rows: Rows, validation: Rows, scorer: Scorer) -> Split:
    """Train on all rows and validate on rows that the caller gave."""
    score = _score(scorer, validation.X, validation.y, validation.sample_weight)
    return Split(np.arange(rows.m), (validation.X.T, validation.targets), score)


def held_out(
    rows: Rows, fraction: float, strata: np.ndarray | None, random: np.random.RandomState, scorer: Scorer
) -> Split:
    """Hold out a fraction of the rows for validation, stratified by label if every label can be in both."""
    if strata is not None and not _can_stratify(strata, fraction):
        strata = None
    train, held = train_test_split(
        np.arange(rows.m), test_size=fraction, random_state=random, stratify=strata
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    return Split(train, held, _score(scorer, *rows.subset(held)))


def _can_stratify(labels: np.ndarray, fraction: float) -> bool:
    """Return whether a split can put every label into both parts."""
    counts, held = np.unique(labels, return_counts=True)[1], math.ceil(fraction * len(labels))
    return bool(counts.min() >= 2 and len(counts) <= min(held, len(labels) - held))


def _score(scorer: Scorer, X: Any, y: np.ndarray, sample_weight: np.ndarray | None) -> ScoreFunction:
    """Return the score as a function of the outputs (n_outputs, m) for X; NaN if they are not finite."""
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}

    def score(outputs: np.ndarray) -> float:
        if not np.isfinite(outputs).all():
            return math.nan
        with np.errstate(over="ignore"):
            return float(scorer(outputs.T, X, y, **weights))

    return score


def scorer(estimator: Any, scoring: Any) -> Scorer:
    """Return `scoring` (default: accuracy or R²) as a function of the estimator's outputs."""
    if scoring is None and type(estimator).score is ClassifierMixin.score and not estimator._multilabel:
        return lambda outputs, *data, **weights: accuracy(with_outputs(estimator, outputs), *data, **weights)
    score = _with_all_labels(check_scoring(estimator, scoring=scoring), estimator)
    return lambda outputs, *data, **weights: score(with_outputs(estimator, outputs), *data, **weights)


def accuracy(classifier: Any, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    """Return the accuracy as scikit-learn does, whose checks take longer than an epoch of a small network."""
    return float(np.average(classifier.predict(X) == y, weights=sample_weight))


def _with_all_labels(score: Any, estimator: Any) -> Any:
    """Return the scorer with `classes_` as its labels, for a metric of probabilities that takes labels.

    The columns of the probabilities are `classes_`, even if the scored rows lack one of the classes.
    """
    metric, given = getattr(score, "_score_func", None), getattr(score, "_kwargs", {})
    if metric is None or getattr(score, "_response_method", "predict") == "predict":
        return score
    if getattr(estimator, "_multilabel", True) or len(estimator.classes_) < 2:
        return score
    if "labels" in given or "labels" not in inspect.signature(metric).parameters:
        return score
    complete = copy.copy(score)
    complete._kwargs = {**given, "labels": estimator.classes_}
    return complete


class KnownOutputs:
    """Mixin for an estimator whose outputs are known already, whatever X is."""

    known_outputs: np.ndarray

    def _outputs(self, X: Any) -> np.ndarray:
        return self.known_outputs


@cache
def _with_known_outputs(kind: type) -> type:
    return type(kind.__name__, (KnownOutputs, kind), {})


def with_outputs(estimator: Any, outputs: np.ndarray) -> Any:
    """Return a copy of the estimator that predicts from these outputs (m, n_outputs)."""
    known, kind = copy.copy(estimator), estimator.__class__
    known.__class__ = _with_known_outputs(kind)
    known.known_outputs = outputs
    return known
