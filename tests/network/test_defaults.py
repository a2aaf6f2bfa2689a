"""`fit` with its default arguments learns well, whatever the network."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import Dense, Network

NETWORKS = {
    "relu, softmax": lambda: Network(64, [Dense(32, "relu"), Dense(10, "softmax")], seed=0),
    "tanh, softmax": lambda: Network(64, [Dense(32, "tanh"), Dense(10, "softmax")], seed=0),
    "sigmoid, quadratic": lambda: Network(64, [Dense(32), Dense(10)], "quadratic", seed=0),
    "two layers": lambda: Network(64, [Dense(64, "gelu"), Dense(32, "gelu"), Dense(10, "softmax")], seed=0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_epochs_classify_digits(name: str) -> None:
    digits, net = gpunn.datasets.load("digits"), NETWORKS[name]()
    net.fit(digits.train.X, digits.train.y, device="cpu")
    assert np.mean(net.predict(digits.test.X) == digits.test.y) > 0.93


def test_the_books_network_classifies_digits() -> None:
    digits, net = gpunn.datasets.load("digits"), Network([64, 32, 10], seed=0)
    net.fit(digits.train.X, digits.train.y, epochs=30, device="cpu")
    assert np.mean(net.predict(digits.test.X) == digits.test.y) > 0.94


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_regression_learns(activation: str) -> None:
    X = np.random.default_rng(0).uniform(-1, 1, (2, 1000))
    y = np.sin(3 * X[0]) * X[1] + X[0] / 2
    net = Network(2, [Dense(32, activation), Dense(1, "identity")], seed=0)
    net.fit(X[:, :800], y[:800], device="cpu")
    assert np.mean((net.predict(X[:, 800:]) - y[800:]) ** 2) < 0.25 * np.var(y[800:])


def test_the_books_gradient_descent_is_a_word_away() -> None:
    X, y = np.eye(3), np.arange(3)
    word, book = Network([3, 4, 3], seed=0), Network([3, 4, 3], seed=0)
    word.fit(X, y, epochs=2, optimizer="sgd", device="cpu")
    book.fit(X, y, epochs=2, optimizer=gpunn.SGD(0.1), device="cpu")
    np.testing.assert_array_equal(word.theta, book.theta)
    assert gpunn.FitOptions().optimizer == gpunn.Adam(0.01)
