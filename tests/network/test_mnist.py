"""Accuracy on real data: the book's result on MNIST, and the embedded digits."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn


def test_the_books_network_reaches_95_percent(mnist: gpunn.datasets.Dataset) -> None:
    """Nielsen, chapter 1: [784, 30, 10], 30 epochs, mini-batches of 10, eta = 3.0."""
    layers = [gpunn.Dense(30, "sigmoid", init="normal"), gpunn.Dense(10, "sigmoid", init="normal")]
    net = gpunn.Network(784, layers, cost="quadratic", seed=0)
    history = net.fit(
        mnist.train.X,
        mnist.train.y,
        epochs=30,
        batch_size=10,
        optimizer=gpunn.SGD(3.0),
        validation=(mnist.test.X, mnist.test.y),
        device="cpu",
    )
    assert max(record.validation_accuracy or 0 for record in history) >= 0.95
    assert np.mean(net.predict(mnist.test.X) == mnist.test.y) == history[-1].validation_accuracy


def test_embedded_digits(digits: gpunn.datasets.Dataset) -> None:
    net = gpunn.Network(64, [gpunn.Dense(64, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    net.fit(digits.train.X, digits.train.y, epochs=40, optimizer="adam", device="cpu")
    assert np.mean(net.predict(digits.test.X) == digits.test.y) > 0.96


@pytest.mark.long
def test_augmentation_raises_the_accuracy(mnist: gpunn.datasets.Dataset) -> None:
    """Use the README's settings for five of their 25 epochs."""
    net = gpunn.Network(784, [gpunn.Dense(512, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    net.fit(
        mnist.train.X,
        mnist.train.y,
        epochs=5,
        batch_size=128,
        optimizer="nesterov",
        schedule="cosine",
        augmentation=gpunn.Augmentation((28, 28), shift=1, rotate=10, scale=0.1, elastic=20),
        device="cpu",
    )
    assert np.mean(net.predict(mnist.test.X) == mnist.test.y) >= 0.985
