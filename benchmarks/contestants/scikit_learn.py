"""scikit-learn's MLPClassifier; an epoch is one call of partial_fit, which shuffles."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contestants.base import Weights, library, timed
from benchmarks.nets import Net, Problem

ACTIVATIONS = {"sigmoid": "logistic", "relu": "relu"}


class ScikitLearn:
    """scikit-learn on the CPU. It always uses softmax with cross-entropy, even for the quadratic cost."""

    def __init__(self, problem: Problem) -> None:
        net = problem.net
        self.X, self.y = problem.rows(), problem.data.labels
        self.max_examples, self.batch_size = len(self.X), net.batch_size
        self.model = self.model_of(net, self.X, self.y, problem.start)

    @staticmethod
    def model_of(net: Net, X: np.ndarray, y: np.ndarray, start: Weights) -> Any:
        """Return a model with these initial weights."""
        model: Any = library("sklearn.neural_network").MLPClassifier(
            net.sizes[1:-1],
            activation=ACTIVATIONS[net.hidden],
            solver="sgd",
            alpha=0.0,
            batch_size=net.batch_size,
            learning_rate_init=net.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=0,
        )
        first = max(net.batch_size, 2)
        model.partial_fit(X[:first], y[:first], classes=list(range(net.sizes[-1])))
        for l, (w, b) in enumerate(start):
            model.coefs_[l][:], model.intercepts_[l][:] = w.T, b
        return model

    def seconds(self, m: int, epochs: int) -> float:
        X, y = self.X[:m], self.y[:m]
        return timed(lambda: self.model.partial_fit(X, y), epochs)

    def weights(self) -> Weights:
        return [(w.T, b) for w, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)]
