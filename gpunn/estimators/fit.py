"""Define the records that an estimator and its solvers exchange."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gpunn.estimators.parameters import Parameters
from gpunn.estimators.rows import Rows
from gpunn.network import Network
from gpunn.training.history import Callback, Record

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
    " preprocessed."
)  # scikit-learn's message


@dataclass
class Progress:
    """The state of training: the fitted attributes of the same names, without their underscores.

    A solver updates this record; the estimator publishes it as attributes. It lives as long as the network,
    through warm starts and calls of `partial_fit`.
    """

    learning_rate: float
    best_loss: float | None = None
    best_validation_score: float | None = None
    validation_scores: list[float] | None = None
    loss: float = math.nan
    loss_curve: list[float] = field(default_factory=list)
    n_iter: int = 0
    t: int = 0
    epochs_without_improvement: int = 0

    @classmethod
    def start(cls, learning_rate: float, early_stopping: bool) -> Progress:
        """Before any training: early stopping tracks the best validation score, otherwise the best loss."""
        return cls(learning_rate, validation_scores=[]) if early_stopping else cls(learning_rate)


@dataclass(frozen=True)
class Fit:
    """One call of `fit` or `partial_fit`, as a solver sees it.

    Attributes:
        parameters: the estimator's parameters, which a solver only reads.
        network: trained in place.
        rows: the training data.
        progress: updated after every epoch or iteration.
        to_reported_loss: converts the mean of gpunn's cost to scikit-learn's loss.
        publish: copies the progress to the estimator's attributes.
    """

    parameters: Parameters
    network: Network
    rows: Rows
    progress: Progress
    to_reported_loss: Callable[[float], float]
    publish: Callable[[Progress], None]

    def ends_after(self, record: Record) -> bool:
        """Publish the progress and call every callback; return True if a callback ends training."""
        self.publish(self.progress)
        answers = [callback(record) for callback in self.callbacks]
        return any(answer is True for answer in answers)

    @property
    def callbacks(self) -> Sequence[Callback]:
        """The user's callbacks."""
        given = self.parameters.callbacks
        return [given] if callable(given) else given or ()


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        stopped: why it ended early, as in `gpunn.History`; "" if it ran to max_iter.
        best: the θ with the best validation score, if early stopping keeps it.
        not_converged: the reason to warn of, or "".
    """

    stopped: str = ""
    best: np.ndarray | None = None
    not_converged: str = ""
