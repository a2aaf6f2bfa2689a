"""Keras's mnist.npz and its like: arrays of images and labels in one file."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import LABELS, PIXELS, refused

from gpunn.datasets import Dataset, load

ARRAYS = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:5], "y_test": LABELS[:5]}


def archive(path: Path, **changed: Any) -> Path:
    np.savez_compressed(path, **{**ARRAYS, **changed})
    return path


def test_grey_images_are_read(tmp_path: Path) -> None:
    dataset = load(archive(tmp_path / "a.npz"))
    assert dataset.image_shape == (4, 3) and dataset.classes == ("0", "1", "2")
    np.testing.assert_array_equal(dataset.train.X, PIXELS.reshape(12, -1).T)
    np.testing.assert_array_equal(dataset.test.y, LABELS[:5])
    assert dataset.channels == 1 and dataset.as_is


def test_colour_images_with_labels_in_a_column_are_read(tmp_path: Path) -> None:
    colours = np.stack([PIXELS] * 3, axis=3)
    changed = {"x_train": colours, "x_test": colours[:5], "y_train": LABELS[:, None]}
    dataset = load(str(archive(tmp_path / "a.npz", **changed)))
    assert dataset.channels == 3 and dataset.train.X.shape == (36, 12) and dataset.train.y.shape == (12,)


def test_mnist_is_recognised(tmp_path: Path, mnist: Dataset) -> None:
    arrays = {}
    for kind, split in (("train", mnist.train), ("test", mnist.test)):
        arrays |= {f"x_{kind}": split.X.T.reshape(-1, 28, 28), f"y_{kind}": split.y.astype(np.uint8)}
    np.savez(tmp_path / "mnist.npz", **arrays)
    dataset = load(tmp_path / "mnist.npz")
    assert not dataset.as_is
    np.testing.assert_array_equal(dataset.train.X, mnist.train.X)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_train": LABELS[:5]}, ["x_train has 12 images", "y_train has 5 labels"]),
        ({"x_test": PIXELS[:5, :2]}, ["(4, 3) in x_train", "(2, 3) in x_test"]),
        ({"x_train": PIXELS.astype(float)}, ["x_train holds float64", "unsigned bytes"]),
        ({"y_test": np.full(5, 0.5)}, ["y_test holds float64", "integers"]),
        ({"y_test": np.array([{}] * 5)}, ["y_test holds object"]),
        ({"y_train": LABELS.astype(int) - 1}, ["labels from -1", "0 to 999"]),
        ({"x_train": PIXELS[:0], "y_train": LABELS[:0]}, ["x_train is empty"]),
    ],
)
def test_arrays_that_do_not_match_are_refused(tmp_path: Path, changed: Any, words: list[str]) -> None:
    path = archive(tmp_path / "a.npz", **changed)
    refused(ValueError, lambda: load(path), path, *words)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bomb:
        for name, array in ARRAYS.items():
            with bomb.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array)
                for _ in range(1100 if name == "x_train" else 0):
                    file.write(bytes(1 << 20))
    refused(ValueError, lambda: load(path), path, "x_train unpacks to 1,153,", "implausible")


@pytest.mark.parametrize("name", ["mnist.pkl.gz", "data.pkl", "data.pickle"])
def test_a_pickle_is_named_and_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return pytest.fail, ("the pickle was opened",)

    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(pickle.dumps(Trap()))
    for path in (name, tmp_path / name):
        refused(ValueError, lambda path=path: load(path), name, "is a pickle", "gpunn train mnist")


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_archive_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = archive(tmp_path / "a.npz")
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        data[rng.integers(len(data))] = rng.integers(256)
    path.write_bytes(data[: len(data) - int(rng.integers(0, 2) * rng.integers(1, 200))])
    try:
        load(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
