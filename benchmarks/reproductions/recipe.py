"""How a classifier of images is trained, and how what its source leaves open is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np

import gpunn
from benchmarks.reproductions.common import Say, accuracy, dense, silent
from gpunn.datasets.dataset import Split

HELD_OUT = 10  # one training example in so many is held out, the last ones


@dataclass(frozen=True)
class Recipe:
    """A network of `sizes` n_1…n_L for 784 inputs, and its training.

    momentum: Nesterov's. schedule: by name, over all epochs. augmentation: what images are shown as.
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

    def train(self, split: Split, seed: int, say: Say = silent) -> gpunn.Network:
        """The network after the last epoch: none is chosen by how it does."""
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
            on_epoch_end=lambda record: say(f"seed {seed}, epoch {record.epoch} of {self.epochs}"),
        )
        return net

    def settings(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Search:
    """What a source leaves open: for each field of a recipe, the values to try, all combinations of them.

    epochs: of each trial, where those of the recipe would take too long.
    """

    choices: Mapping[str, Sequence[Any]]
    epochs: int | None = None

    def __post_init__(self) -> None:
        unknown = set(self.choices) - {field.name for field in fields(Recipe)}
        assert not unknown, f"a recipe has no {unknown}"

    def candidates(self) -> list[dict[str, Any]]:
        """The combinations, each as the fields that it sets."""
        return [dict(zip(self.choices, values, strict=True)) for values in product(*self.choices.values())]

    def error(self, recipe: Recipe, candidate: Mapping[str, Any], train: Split, say: Say = silent) -> float:
        """The share of the held-out examples that a candidate names wrongly, learnt from the others."""
        kept = len(train.y) - len(train.y) // HELD_OUT
        settings = {"epochs": self.epochs or recipe.epochs} | dict(candidate)
        net = replace(recipe, **settings).train(Split(train.X[:, :kept], train.y[:kept]), 0, say)
        return 1 - accuracy(net, train.X[:, kept:], train.y[kept:])


def errors(recipe: Recipe, train: Split, test: Split, seeds: int, say: Say = silent) -> np.ndarray:
    """The share of the test examples named wrongly, by seed."""
    nets = (recipe.train(train, seed, say) for seed in range(seeds))
    return np.array([1 - accuracy(net, test.X, test.y) for net in nets])
