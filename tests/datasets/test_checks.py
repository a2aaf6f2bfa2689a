"""Warnings about the content of data sets: files that are not MNIST, and images or labels without variety."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from idx_files import LABELS, PIXELS, write_folder

from gpunn.datasets import Dataset, load
from gpunn.datasets.checks import is_mnist


@pytest.mark.parametrize(("name", "title"), [("mnist", "MNIST"), ("fashion-mnist", "Fashion-MNIST")])
def test_other_files_under_a_known_name_are_told(tmp_path: Path, name: str, title: str) -> None:
    folder = write_folder(tmp_path)
    with pytest.warns(UserWarning, match=f"is not {title}: the content of train-images") as caught:
        assert load(name, folder).name == name
    assert len(caught) == 1 and str(folder) in str(caught[0].message)
    assert "\n" not in str(caught[0].message)


def test_the_published_files_pass(mnist: Dataset) -> None:
    assert is_mnist(mnist)  # the fixture loads it with warnings as errors


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros_like(PIXELS), LABELS, ["12 training images are alike", "12 test images are alike"]),
        (PIXELS[:1].repeat(12, axis=0), LABELS, ["training images are alike", "test images are alike"]),
        (PIXELS, np.full_like(LABELS, 2), ["12 training examples are of the class '2'", "test examples"]),
    ],
)
def test_data_without_variety_are_told(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, words: list[str]
) -> None:
    folder = write_folder(tmp_path, images=images, labels=labels)
    with pytest.warns(UserWarning, match="are alike|of the class") as caught:
        load(folder)
    for word, warning in zip(words, caught, strict=True):
        assert word in str(warning.message) and str(folder) in str(warning.message)


def test_a_data_set_describes_itself_in_one_line() -> None:
    digits = load("digits")
    expected = "1,437 training and 360 test images of 8×8, 10 classes: 0, 1, 2, 3, … (10 in all)"
    assert repr(digits) == f"Dataset('digits': {expected})"
    assert repr(digits.test) == "Split(X: (64, 360) uint8, y: (360,) int64)"
