"""Update the progress after every epoch, and decide when to slow down or stop, as scikit-learn does."""

from __future__ import annotations

import math

import numpy as np

from gpunn.estimators.fit import Fit
from gpunn.training.history import Record

MIN_ADAPTIVE_RATE = 1e-6  # an adaptive learning rate at or below this ends training
ADAPTIVE_DIVISOR = 5.0


class EpochMonitor:
    """Follow the training of a `Fit` epoch by epoch.

    scikit-learn's loss includes the mean of (λ/2) Σ w² over the epoch's steps. It is approximated here as if
    Σ w² changed linearly within an epoch.

    Attributes:
        best: the θ with the best validation score; None without early stopping.
    """

    def __init__(self, fit: Fit, m: int, steps: int, l2: float) -> None:
        """Follow epochs of m examples in `steps` steps, with λ = l2."""
        self.fit, self.m, self.steps, self.l2 = fit, m, steps, l2
        rows = [(w, np.empty(w.shape, w.dtype)) for w in fit.network.weights]
        self.rows = [(w, row_major, row_major.reshape(-1)) for w, row_major in rows]
        self.squares = self._sum_of_squares()
        self.best = fit.network.theta.copy() if fit.parameters.early_stopping else None

    def _sum_of_squares(self) -> float:
        """Return Σ w² over all layers; 0 without a penalty, which needs no sum."""
        if not self.l2:
            return 0.0
        total = 0.0
        for w, row_major, flat in self.rows:
            row_major[...] = w
            total += float(np.vdot(flat, flat))
        return total

    def ends_after(self, record: Record) -> bool:
        """Update the progress with an epoch's record; return True if training should end."""
        parameters, progress = self.fit.parameters, self.fit.progress
        progress.n_iter += 1
        progress.t += self.m
        progress.loss = self.fit.to_reported_loss(record.loss) + self._mean_penalty()
        progress.loss_curve.append(progress.loss)
        if parameters.verbose:
            print(f"Iteration {progress.n_iter}, loss = {progress.loss:.8f}")
        if record.validation_score is not None:
            self.add_score(record.validation_score)
        better = self._better_score() if parameters.early_stopping else self._better_loss(progress.loss)
        progress.epochs_without_improvement = 0 if better else progress.epochs_without_improvement + 1
        if parameters.solver == "sgd" and parameters.learning_rate == "invscaling":
            progress.learning_rate = parameters.learning_rate_init / (progress.t + 1) ** parameters.power_t
        return self._out_of_patience()

    def _mean_penalty(self) -> float:
        before, self.squares = self.squares, self._sum_of_squares()
        fraction = (self.steps - 1) / (2 * self.steps)
        return self.l2 / 2 * (before + fraction * (self.squares - before))

    def add_score(self, score: float) -> None:
        """Append a validation score."""
        progress = self.fit.progress
        progress.validation_scores = [*(progress.validation_scores or []), score]
        self._print(f"Validation score: {score:f}")

    def _better_score(self) -> bool:
        progress = self.fit.progress
        assert progress.validation_scores
        score, best = progress.validation_scores[-1], progress.best_validation_score
        best = -math.inf if best is None else best
        if score > best:
            progress.best_validation_score, self.best = score, self.fit.network.theta.copy()
        return not score < best + self.fit.parameters.tol

    def _better_loss(self, loss: float) -> bool:
        progress = self.fit.progress
        best = math.inf if progress.best_loss is None else progress.best_loss
        progress.best_loss = min(loss, best)
        return loss <= best - self.fit.parameters.tol

    def _out_of_patience(self) -> bool:
        """After too many epochs without improvement, lower an adaptive learning rate or return True."""
        parameters, progress = self.fit.parameters, self.fit.progress
        patience = parameters.n_iter_no_change
        if progress.epochs_without_improvement <= patience:
            return False
        measured = "Validation score" if parameters.early_stopping else "Training loss"
        message = f"{measured} did not improve more than tol={parameters.tol:f} for {patience} epochs."
        adaptive = parameters.solver == "sgd" and parameters.learning_rate == "adaptive"
        if not adaptive or progress.learning_rate <= MIN_ADAPTIVE_RATE:
            self._print(f"{message} Stopping.")
            return True
        progress.learning_rate /= ADAPTIVE_DIVISOR
        progress.epochs_without_improvement = 0
        self._print(f"{message} Setting learning rate to {progress.learning_rate:f}")
        return False

    def _print(self, line: str) -> None:
        if self.fit.parameters.verbose:
            print(line)
