"""Training on images: a named data set, a folder of pictures or IDX files, or an archive of arrays."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn import datasets
from gpunn.cli.output import remark
from gpunn.cli.usage import refuse
from gpunn.datasets import Dataset, DataUnavailable
from gpunn.datasets.catalog import CLASSES, is_class_folder
from gpunn.datasets.dataset import Form
from gpunn.functions.augmentation import Augmentation
from gpunn.predictor import Predictor
from gpunn.report.facts import verdict
from gpunn.report.findings import Findings, classification_findings
from gpunn.sweeps.averaging import Trained
from gpunn.training.option import option_name
from gpunn.training.settings import Settings

HELD_OUT = 0.1  # of the training examples, for early stopping: the test examples must not decide that
AUGMENTATION = ("shift", "rotate", "scale", "elastic")
USUAL = {"epochs": 10, "batch_size": 128}
USUAL_FOR = {"digits": {"epochs": 20, "batch_size": 16}}  # 1,437 examples: few steps in an epoch
DOWNLOADABLE = f"downloadable data sets ({', '.join(CLASSES)})"
USUAL_NETWORK = {"hidden": [512], "output_activation": "softmax", "optimizer": "nesterov", "dropout": 0.0}


@dataclass(frozen=True, eq=False)
class ImageJob:
    """Images to train on. data_dir: the folder that the user gave for them."""

    dataset: Dataset
    data_dir: Path | None

    metric = "validation_accuracy"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.dataset.notes

    @property
    def columns(self) -> tuple[()]:
        return ()

    @property
    def explanation(self) -> None:
        return None

    @property
    def words(self) -> tuple[str, ...]:
        return self.notes

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
    def sample_y(self) -> np.ndarray:
        return self.y

    @property
    def n_out(self) -> int:
        return len(self.dataset.classes)

    @property
    def classes(self) -> Sequence[str]:
        return [str(name) for name in self.dataset.classes]

    @property
    def usual(self) -> dict[str, Any]:
        return USUAL_NETWORK | USUAL_FOR.get(self.name, USUAL)

    def validation(self, settings: Settings) -> Any:
        return HELD_OUT if settings.patience else (self.dataset.test.X, self.dataset.test.y)

    def augmentation(self, settings: Settings) -> Augmentation | None:
        chosen = [getattr(settings, name) for name in AUGMENTATION]
        if any(chosen) and self.dataset.channels > 1:
            raise ValueError(
                f"{' '.join(option_name(name) for name in AUGMENTATION)} only apply to grey images: "
                f"{self.name} has colours"
            )
        return Augmentation(self.dataset.image_shape, *chosen) if any(chosen) else None

    def check(self, settings: Settings) -> None:
        """Accept all settings."""

    def adjusted(self, trained: Trained, settings: Settings) -> ImageJob:
        """Return this job: nothing is fitted after training."""
        return self

    def explained(self, net: Predictor, settings: Settings) -> ImageJob:
        """Return this job: only columns of tables are explained."""
        return self

    def rehearse(self, settings: Settings) -> Iterator[str]:
        """Yield nothing: images have test examples of their own."""
        return iter(())

    def describe_training(self, settings: Settings) -> list[str]:
        """Return nothing: the settings for images do not depend on them."""
        return []

    def meta(self) -> dict[str, Any]:
        """Return what `gpunn evaluate` and `gpunn predict` need to know about the data."""
        return {
            "dataset": self.name if self.name in datasets.NAMES else os.path.abspath(self.name),
            "image_shape": self.dataset.image_shape,
            "classes": self.dataset.classes,
            "digit": self.name != "fashion-mnist" and not self.dataset.as_is,
            **({"channels": self.dataset.channels} if self.dataset.as_is else {}),
        }

    def test(self, net: Predictor) -> tuple[dict[str, Any], np.ndarray]:
        """Test the weights that are saved, even if Ctrl-C came in the middle of an epoch."""
        X, y = self.dataset.test.X, self.dataset.test.y
        outputs, test_loss, test_accuracy = net.examine(X, y)
        baseline = float(np.mean(y == np.argmax(np.bincount(self.y))))
        return {
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "test_examples": len(y),
            "baseline": {"accuracy": baseline},
        }, outputs

    def findings(self, net: Predictor, outputs: np.ndarray | None) -> Findings:
        """Return what else the test shows."""
        test, as_is = self.dataset.test, self.dataset.as_is
        shape = (*self.dataset.image_shape, 3)[: 2 + (self.dataset.channels == 3)]
        assert outputs is not None
        return classification_findings(
            net,
            outputs,
            test.y,
            self.dataset.classes,
            place=lambda i: f"image {i + 1:,}",
            pixels=lambda i: (255 - test.X[:, i] if as_is else test.X[:, i]).reshape(shape),  # shown inverted
        )

    def describe_result(self, result: dict[str, Any]) -> str:
        return f"test accuracy {result['test_accuracy']:.2%}, "

    def remarks(self, result: dict[str, Any]) -> list[str]:
        """Say if the network is no better than always predicting the most frequent class."""
        return [line] if (line := verdict(result)) else []

    def next_steps(self, model: str) -> list[str]:
        """Return commands to try."""
        where = f" --data-dir {shlex.quote(str(self.data_dir))}" if self.data_dir else ""
        return [
            f"gpunn evaluate {model} {shlex.quote(self.name)}{where}",
            f"gpunn predict {model} image.png",
            *([] if self.dataset.as_is else [f"gpunn demo {model}"]),
        ]


def open_images(name: str | None, data_dir: Path | None, settings: Settings) -> ImageJob:
    """Open a data set by name; without a name MNIST, or the digits if MNIST is unavailable."""
    try:
        job = ImageJob(load(name or "mnist", data_dir, settings.image_size), data_dir)
        job.augmentation(settings)  # refuses what does not apply, before anything is printed
        return job
    except DataUnavailable as error:
        if name:
            raise
        remark(f"MNIST is unavailable, training on the embedded digits instead: {error}")
        return ImageJob(datasets.load("digits"), None)


def load(name: str, data_dir: Path | None, image_size: int | None = None) -> Dataset:
    """Load a data set. Raises ValueError if an option is given that does not apply to it."""
    pictures = name not in datasets.NAMES and is_class_folder(Path(os.path.expanduser(name)))
    refuse(["image_size"] if image_size and not pictures else [], "folders of pictures", name)
    dataset = datasets.load(name, data_dir, image_size)
    refuse(["data_dir"] if data_dir and name not in CLASSES else [], DOWNLOADABLE, name)
    return dataset


def load_test(name: str, data_dir: Path | None, form: Form | None, trained_on: object) -> Dataset:
    """Load a data set to test on. form: what the network takes, if it was trained on pictures."""
    folder = Path(os.path.expanduser(name))
    if form and name not in datasets.NAMES and is_class_folder(folder):
        refuse(["data_dir"] if data_dir else [], DOWNLOADABLE, name)
        from gpunn.datasets.class_folders import read_test_pictures  # imports Pillow

        return read_test_pictures(folder, form, whole=os.path.abspath(folder) != trained_on)
    return load(name, data_dir)
