"""Which examples judge the others' training, and how they score it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from gpunn.estimators.rows import Rows
from gpunn.training.loop import Score

if TYPE_CHECKING:
    from gpunn.estimators.base import BaseMLP


@dataclass(frozen=True)
class Judging:
    """The rows to train on, and `validation` and `score` as `Network.fit` takes them."""

    train: np.ndarray
    validation: Any = None
    score: Score | None = None


def judging(est: BaseMLP, rows: Rows, held: Rows | None, random: np.random.RandomState) -> Judging:
    """By the user's own rows, or a share held out where early_stopping asks for it, or not at all."""
    every = np.arange(rows.m)
    if held is not None:
        return Judging(every, (held.X.T, held.targets), _score(est, held.X, held.y, held.sample_weight))
    if not est.early_stopping:
        return Judging(every)
    share, strata = est.validation_fraction, est._strata(rows.y)
    train, index = train_test_split(every, test_size=share, random_state=random, stratify=strata)
    if len(index) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    return Judging(train, index, _score(est, *rows.scored(index)))


def _score(est: BaseMLP, X: Any, y: np.ndarray, sample_weight: np.ndarray | None) -> Score:
    """`scoring`, or else accuracy or R², as a function of the outputs (n_outputs, k) for X."""
    scorer = check_scoring(est, scoring=est.scoring)
    given = {} if sample_weight is None else {"sample_weight": sample_weight}

    def score(outputs: np.ndarray) -> float:
        if not np.isfinite(outputs).all():
            return math.nan
        judged = copy.copy(est)
        judged.__dict__["_outputs"] = lambda X: outputs.T
        with np.errstate(over="ignore"):
            return float(scorer(judged, X, y, **given))

    return score
