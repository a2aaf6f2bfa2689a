"""Data sets by name: where their files are searched for, and what they hold."""

from __future__ import annotations

import hashlib
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from idx_files import PIXELS, refused, write_folder
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from gpunn.datasets import Dataset, DataUnavailable, catalog, load
from gpunn.datasets.folder import FILES

pytestmark = pytest.mark.filterwarnings("ignore:.* is not .*MNIST")  # the files are made up


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_data_dir_is_the_folder_or_its_parent(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / name)
    assert load(name, data_dir=folder).name == name
    dataset = load(name, data_dir=str(tmp_path))
    assert len(dataset.classes) == 10 and dataset.image_shape == (4, 3)


def test_only_an_explicit_data_dir_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUNN_DATA", str(write_folder(tmp_path / "environment")))
    monkeypatch.setattr(catalog, "download", lambda *_: pytest.fail("must not download"))
    refused(DataUnavailable, lambda: load(data_dir=tmp_path), f"{tmp_path} lacks", tmp_path / "mnist", *FILES)


def test_the_environment_is_searched_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "cache" / "mnist", images=PIXELS[:, :2])
    assert load().image_shape == (2, 3)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path / "environment"))
    assert load().image_shape == (2, 3)
    write_folder(tmp_path / "environment")
    assert load().image_shape == (4, 3)
    write_folder(tmp_path / "environment" / "mnist", images=PIXELS[:, :1])
    assert load().image_shape == (1, 3)


def test_mnist_and_fashion_mnist_are_not_confused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([*catalog.FIRST_TEST_LABELS["mnist"], 0, 0], np.uint8)
    write_folder(tmp_path / "data", labels=labels)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path / "data"))
    assert load("mnist").classes[9] == "9"
    refused(DataUnavailable, lambda: load("fashion-mnist"), "fashion-mnist")
    wrong = partial(load, "fashion-mnist", data_dir=tmp_path / "data")
    refused(ValueError, wrong, tmp_path / "data", "holds mnist, not fashion-mnist")
    write_folder(tmp_path / "data" / "fashion-mnist")
    assert load("fashion-mnist").classes[9] == "Ankle boot"
    assert wrong().name == "fashion-mnist"  # the subfolder comes first


def test_mnist_has_ten_classes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, labels=np.arange(12, dtype=np.uint8) % 11)
    refused(ValueError, lambda: load("mnist", folder), FILES[1], "label 10", "0 to 9")
    assert len(load(folder).classes) == 11


def test_digits() -> None:
    digits = load("digits")
    assert digits.train.X.shape == (64, 1437) and digits.test.X.shape == (64, 360)
    assert digits.train.X.dtype == np.uint8 and digits.train.X.flags.f_contiguous
    assert digits.train.X.min() == 0 and digits.train.X.max() == 255
    assert digits.image_shape == (8, 8) and digits.classes == tuple("0123456789")
    assert np.ptp(np.bincount(digits.test.y)) <= 3  # stratified
    np.testing.assert_array_equal(digits.train.X, load("digits").train.X)  # the same split each time


def test_mnist_has_the_published_content(mnist: Dataset) -> None:
    train, test = mnist.train, mnist.test
    assert train.X.shape == (784, 60000) and test.X.shape == (784, 10000)
    assert train.X.dtype == np.uint8 and train.X.flags.f_contiguous and train.y.dtype == np.int64
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    sha256 = {
        hashlib.sha256(header + content.tobytes()).hexdigest()[:16]
        for header, content in [
            (struct.pack(">IIII", 0x803, 60000, 28, 28), train.X.T),
            (struct.pack(">II", 0x801, 60000), train.y.astype(np.uint8)),
            (struct.pack(">IIII", 0x803, 10000, 28, 28), test.X.T),
            (struct.pack(">II", 0x801, 10000), test.y.astype(np.uint8)),
        ]
    }
    assert sha256 == {"ba891046e6505d7a", "65a50cbbf4e906d7", "0fa7898d509279e4", "ff7bcfd416de3373"}


def test_the_digits_are_scikit_learns() -> None:
    """The file that ships with gpunn saves importing scikit-learn, which takes most of a second."""
    kept = load_digits()
    images = np.rint(kept.images * (255 / 16)).astype(np.uint8).reshape(-1, 64)
    split = train_test_split(images, kept.target, test_size=0.2, random_state=0, stratify=kept.target)
    digits = load("digits")
    ours = digits.train.X.T, digits.test.X.T, digits.train.y, digits.test.y
    for theirs, array in zip(split, ours, strict=True):
        np.testing.assert_array_equal(array, theirs)
        assert array.dtype == theirs.dtype and array.flags.c_contiguous
