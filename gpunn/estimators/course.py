"""The course of a `fit`: what scikit-learn keeps of every epoch, and when it has had enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpunn.network import Network
from gpunn.training.history import Record

if TYPE_CHECKING:
    from gpunn.estimators.base import BaseMLP

SLOWEST = 1e-6  # an adaptive learning rate that small ends training
SLOWER = 5.0


@dataclass
class Course:
    """What happens after every epoch of `est.fit`; True ends training.

    The losses are told as scikit-learn tells them: loss_of turns the recorded mean into its, and to it comes
    the mean of (λ/2) Σ w² over the epoch's `steps` steps, as if Σ w² moved evenly. m: the examples in an
    epoch. best: the θ with the best validation score, kept where that decides. stopped: as in `History`.
    """

    est: BaseMLP
    net: Network
    m: int
    steps: int
    l2: float
    loss_of: Callable[[float], float]
    stopped: str = ""

    def __post_init__(self) -> None:
        self.squares = self._squares()
        self.best = self.net.theta.copy() if self.est.early_stopping else None

    def _squares(self) -> float:
        return sum(float(np.vdot(w, w)) for w in self.net.weights)

    def __call__(self, record: Record) -> bool:
        est = self.est
        est.n_iter_ += 1
        est.t_ += self.m
        est.loss_ = self.loss_of(record.loss) + self._penalty()
        est.loss_curve_.append(est.loss_)
        if est.verbose:
            print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
        if record.validation_score is not None:
            self.scored(record.validation_score)
        better = self._better_score() if est.early_stopping else self._better_loss()
        est._no_improvement_count = 0 if better else est._no_improvement_count + 1
        if est.solver == "sgd" and est.learning_rate == "invscaling":
            est.learning_rate_ = est.learning_rate_init / (est.t_ + 1) ** est.power_t
        return self._enough()

    def _penalty(self) -> float:
        before, self.squares = self.squares, self._squares()
        way = (self.steps - 1) / (2 * self.steps)
        return self.l2 / 2 * (before + way * (self.squares - before))

    def scored(self, score: float) -> None:
        """Take note of a validation score."""
        self.est.validation_scores_ = [*(self.est.validation_scores_ or []), score]
        if self.est.verbose:
            print(f"Validation score: {score:f}")

    def _better_score(self) -> bool:
        est = self.est
        assert est.validation_scores_
        score, best = est.validation_scores_[-1], est.best_validation_score_
        best = -math.inf if best is None else best
        if score > best:
            est.best_validation_score_, self.best = score, self.net.theta.copy()
        return not score < best + est.tol

    def _better_loss(self) -> bool:
        loss, best = self.est.loss_, self.est.best_loss_
        best = math.inf if best is None else best
        self.est.best_loss_ = min(loss, best)
        return loss <= best - self.est.tol

    def _enough(self) -> bool:
        """Whether to end it, after too many epochs in a row that were no better; or only to go slower."""
        est = self.est
        if est._no_improvement_count <= est.n_iter_no_change:
            return False
        what = "Validation score" if est.early_stopping else "Training loss"
        said = f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} epochs."
        adaptive = est.solver == "sgd" and est.learning_rate == "adaptive" and est.learning_rate_ > SLOWEST
        if adaptive:
            est.learning_rate_, est._no_improvement_count = est.learning_rate_ / SLOWER, 0
            said += f" Setting learning rate to {est.learning_rate_:f}"
        if est.verbose:
            print(said if adaptive else said + " Stopping.")
        return not adaptive
