"""Accuracy on real data: the book's result on MNIST, and the embedded digits."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn


def test_the_books_network_reaches_95_percent(mnist: gpunn.datasets.Dataset) -> None:
    """Nielsen, chapter 1: [784, 30, 10], at most 30 epochs, mini-batches of 10, eta = 3.0."""

    def stop_at_95_percent(record: gpunn.Record) -> None:
        if (record.validation_accuracy or 0) >= 0.95:
            raise KeyboardInterrupt

    layers = [gpunn.Dense(30, "sigmoid", init="normal"), gpunn.Dense(10, "sigmoid", init="normal")]
    net = gpunn.Network(784, layers, cost="quadratic", seed=0)
    history = net.fit(
        mnist.train.X,
        mnist.train.y,
        epochs=30,
        batch_size=10,
        optimizer=gpunn.SGD(3.0),
        validation=(mnist.test.X, mnist.test.y),
        on_epoch_end=stop_at_95_percent,
        device="cpu",
    )
    assert history.interrupted
    assert np.mean(net.predict(mnist.test.X) == mnist.test.y) == history[-1].validation_accuracy


def test_embedded_digits(digits: gpunn.datasets.Dataset) -> None:
    net = gpunn.Network(64, [gpunn.Dense(64, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    net.fit(digits.train.X, digits.train.y, epochs=40, optimizer="adam", device="cpu")
    assert np.mean(net.predict(digits.test.X) == digits.test.y) > 0.96


@pytest.mark.parametrize("seed", range(2))
def test_augmentation_raises_the_accuracy(mnist: gpunn.datasets.Dataset, seed: int) -> None:
    """Few images, so that a short training needs it."""
    X, y, accuracy = mnist.train.X[:, :3000], mnist.train.y[:3000], {}
    distort = gpunn.Augmentation((28, 28), shift=1, rotate=10, scale=0.1, elastic=20)
    for augmentation in (None, distort):
        net = gpunn.Network(784, [gpunn.Dense(128, "relu"), gpunn.Dense(10, "softmax")], seed=seed)
        settings = {"epochs": 8, "batch_size": 128, "optimizer": "nesterov", "schedule": "cosine"}
        net.fit(X, y, **settings, augmentation=augmentation, device="cpu")
        accuracy[augmentation] = np.mean(net.predict(mnist.test.X) == mnist.test.y)
    assert accuracy[distort] > accuracy[None] + 0.01
