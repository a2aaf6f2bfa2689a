"""gpunn itself, and the textbook's loop over the examples."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import gpunn
from benchmarks.contestants.base import Skipped, Weights, timed
from benchmarks.nets import Problem
from gpunn.backends import explain_cuda
from gpunn.reference import Textbook


class Gpunn:
    """`Network.fit`, timed by its own history."""

    def __init__(self, problem: Problem, device: str = "cpu", precision: str | None = None) -> None:
        if device == "cuda" and (reason := explain_cuda()):
            raise Skipped(f"no CUDA device: {reason}")
        net, self.data = problem.net, problem.data
        self.target: Any = net
        self.batch_size, self.max_examples = net.batch_size, problem.data.X.shape[1]
        self.network = net.build(problem.seed)
        sgd = gpunn.SGD(net.learning_rate, net.momentum, nesterov=net.momentum > 0)
        self.fit = partial(
            self.network.fit, batch_size=net.batch_size, optimizer=sgd, device=device, precision=precision
        )

    def seconds(self, m: int, epochs: int) -> float:
        return self.fit(self.data.X[:, :m], self.data.labels[:m], epochs=epochs).seconds

    def weights(self) -> Weights:
        return [(w, b[:, 0]) for w, b in zip(self.network.weights, self.network.biases, strict=True)]

    def reach(self) -> tuple[float, float]:
        """Train a `Target`; return the seconds and the test accuracy."""
        target, data = self.target, self.data
        how = {name: getattr(target, name) for name in ("epochs", "schedule", "augmentation")}
        history = self.fit(data.X, data.labels, **how)
        accuracy = self.network.evaluate(data.X_test, data.labels_test)[1]
        assert accuracy is not None
        return history.seconds, accuracy


class TextbookLoop:
    """One example at a time in plain NumPy, on a few thousand examples.

    A mini-batch has at most 32 examples: the time per example hardly depends on it, and a batch of 512 would
    take half a minute with the deep network.
    """

    def __init__(self, problem: Problem) -> None:
        net = problem.net
        self.max_examples, self.batch_size = min(4096, problem.data.X.shape[1]), min(32, net.batch_size)
        self.X, self.Y, self.eta = (
            problem.rows(self.max_examples).T,
            problem.one_hot(self.max_examples).T,
            net.learning_rate,
        )
        weights, biases = ([np.copy(part[k]) for part in problem.start] for k in range(2))
        self.book = Textbook(weights, [b[:, None] for b in biases], net.activations, net.cost)
        self.rng = np.random.default_rng(0)

    def seconds(self, m: int, epochs: int) -> float:
        def epoch() -> None:
            self.book.epoch(self.X, self.Y, self.rng.permutation(m), self.batch_size, self.eta)

        return timed(epoch, epochs)

    def weights(self) -> Weights:
        return [(w, b[:, 0]) for w, b in zip(self.book.weights, self.book.biases, strict=True)]
