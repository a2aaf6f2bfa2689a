"""Training on images: a named set, or a folder of IDX files."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn import datasets
from gpunn.cli.options import DOWNLOADED, refuse
from gpunn.datasets import Dataset, DataUnavailable
from gpunn.datasets.catalog import CLASSES
from gpunn.functions.augmentation import Augmentation
from gpunn.network import Network
from gpunn.report.findings import Findings, classified
from gpunn.training.settings import Settings

HELD_OUT = 0.1  # of the training examples, where they decide when to stop: the test examples must not
USUAL = {"epochs": 10, "batch_size": 128}
USUAL_FOR = {"digits": {"epochs": 20, "batch_size": 16}}  # 1,437 examples: few steps in an epoch
USUAL_NETWORK = {"hidden": [512], "output_activation": "softmax", "optimizer": "nesterov", "dropout": 0.0}


@dataclass(frozen=True, eq=False)
class ImageJob:
    """Images to train on; data_dir: where they were said to be."""

    dataset: Dataset
    data_dir: Path | None

    words: tuple[str, ...] = ()
    metric = "validation_accuracy"

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def folder(self) -> str:
        return Path(self.name).resolve().name

    @property
    def X(self) -> np.ndarray:
        return self.dataset.train.X

    @property
    def y(self) -> np.ndarray:
        return self.dataset.train.y

    @property
    def n_out(self) -> int:
        return len(self.dataset.classes)

    @property
    def usual(self) -> dict[str, Any]:
        return USUAL_NETWORK | USUAL_FOR.get(self.name, USUAL)

    def validation(self, settings: Settings) -> Any:
        return HELD_OUT if settings.patience else (self.dataset.test.X, self.dataset.test.y)

    def augmentation(self, settings: Settings) -> Augmentation | None:
        chosen = settings.shift, settings.rotate, settings.scale, settings.elastic
        return Augmentation(self.dataset.image_shape, *chosen) if any(chosen) else None

    def rehearse(self, settings: Settings) -> Iterator[str]:
        """Nothing: the test examples are known."""
        return iter(())

    def meta(self) -> dict[str, Any]:
        """What `gpunn evaluate` and `gpunn predict` need to know of the data."""
        return {
            "dataset": self.name if self.name in datasets.NAMES else os.path.abspath(self.name),
            "image_shape": self.dataset.image_shape,
            "classes": self.dataset.classes,
            "digit": self.name != "fashion-mnist",
        }

    def test(self, net: Network) -> tuple[dict[str, Any], np.ndarray]:
        """How good the weights are that are saved, even if Ctrl-C came within an epoch."""
        X, y = self.dataset.test.X, self.dataset.test.y
        outputs, test_loss, test_accuracy = net.examine(X, y)
        baseline = float(np.mean(y == np.argmax(np.bincount(self.y))))
        return {
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "test_examples": len(y),
            "baseline": {"accuracy": baseline},
        }, outputs

    def findings(self, net: Network, outputs: np.ndarray | None) -> Findings:
        """What the test shows besides."""
        test, shape = self.dataset.test, self.dataset.image_shape
        assert outputs is not None
        return classified(
            net,
            outputs,
            test.y,
            self.dataset.classes,
            place=lambda i: f"image {i + 1:,}",
            pixels=lambda i: test.X[:, i].reshape(shape),
        )

    def score(self, result: dict[str, Any]) -> str:
        return f"test accuracy {result['test_accuracy']:.2%}, "

    def next_steps(self, model: str) -> list[str]:
        """Commands to try."""
        where = f" --data-dir {shlex.quote(str(self.data_dir))}" if self.data_dir else ""
        return [
            f"gpunn evaluate {model} {shlex.quote(self.name)}{where}",
            f"gpunn predict {model} image.png",
            f"gpunn demo {model}",
        ]


def open_images(name: str | None, data_dir: Path | None) -> ImageJob:
    """The data set; where none is named and MNIST cannot be had, the digits."""
    try:
        return ImageJob(load(name or "mnist", data_dir), data_dir)
    except DataUnavailable as error:
        if name:
            raise
        print(f"gpunn: training the embedded digits, since there is no MNIST: {error}", file=sys.stderr)
        return ImageJob(datasets.load("digits"), None)


def load(name: str, data_dir: Path | None) -> Dataset:
    """A data set. ValueError where it is said in which folder one is that is in none, or is a folder."""
    dataset = datasets.load(name, data_dir)
    refuse(["data-dir"] if data_dir and name not in CLASSES else [], name, DOWNLOADED)
    return dataset
