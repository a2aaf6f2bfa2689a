"""Train image classifiers, and choose the settings that their sources leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np

import gpunn
from benchmarks.reproductions.common import Progress, accuracy, dense, no_progress
from gpunn.datasets.dataset import Split

HELD_OUT = 10  # the last 1/HELD_OUT of the training examples is held out


@dataclass(frozen=True)
class Recipe:
    """A network for 784 inputs and the settings of its training.

    Attributes:
        sizes: n_1…n_L.
        momentum: Nesterov momentum.
        schedule: name of a schedule over all epochs.
        augmentation: random distortions of the images.
    """

    sizes: tuple[int, ...]
    hidden: str
    output: str
    cost: str
    eta: float
    epochs: int
    batch_size: int
    init: str | None = None
    momentum: float = 0.9
    l2: float = 0.0
    schedule: str | None = "cosine"
    augmentation: gpunn.Augmentation | None = None

    def train(self, split: Split, seed: int, progress: Progress = no_progress) -> gpunn.Network:
        """Train and return the network after the last epoch; no epoch is selected."""
        layers = dense(self.sizes, self.hidden, self.output, self.init)
        net = gpunn.Network(split.X.shape[0], layers, self.cost, seed)
        net.fit(
            split.X,
            split.y,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=gpunn.SGD(self.eta, self.momentum, nesterov=self.momentum > 0, l2=self.l2),
            schedule=self.schedule,
            augmentation=self.augmentation,
            device="cpu",
            on_epoch_end=lambda record: progress(f"seed {seed}, epoch {record.epoch} of {self.epochs}"),
        )
        return net

    def settings(self) -> dict[str, Any]:
        """Return all settings, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Search:
    """Settings that a source leaves open.

    Attributes:
        choices: the values to try for fields of a recipe, in all combinations.
        epochs: epochs of each trial, if the recipe's would take too long.
    """

    choices: Mapping[str, Sequence[Any]]
    epochs: int | None = None

    def __post_init__(self) -> None:
        unknown = set(self.choices) - {field.name for field in fields(Recipe)}
        assert not unknown, f"a recipe has no {unknown}"

    def candidates(self) -> list[dict[str, Any]]:
        """Return all combinations, each as the fields that it sets."""
        return [dict(zip(self.choices, values, strict=True)) for values in product(*self.choices.values())]

    def error(
        self, recipe: Recipe, candidate: Mapping[str, Any], train: Split, progress: Progress = no_progress
    ) -> float:
        """Train a candidate on all other examples and return its error on the held-out examples."""
        kept = len(train.y) - len(train.y) // HELD_OUT
        settings = {"epochs": self.epochs or recipe.epochs} | dict(candidate)
        net = replace(recipe, **settings).train(Split(train.X[:, :kept], train.y[:kept]), 0, progress)
        return 1 - accuracy(net, train.X[:, kept:], train.y[kept:])


def errors(
    recipe: Recipe, train: Split, test: Split, seeds: int, progress: Progress = no_progress
) -> np.ndarray:
    """Return the test error of each seed."""
    nets = (recipe.train(train, seed, progress) for seed in range(seeds))
    return np.array([1 - accuracy(net, test.X, test.y) for net in nets])
