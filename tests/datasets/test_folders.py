"""Folders of IDX files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from idx_files import LABELS, PIXELS, idx_bytes, refused, write_folder

from gpunn.datasets import NAMES, DataUnavailable, load
from gpunn.datasets.folder import FILES


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_is_read_as_columns(tmp_path: Path, suffix: str) -> None:
    dataset = load(write_folder(tmp_path / "mine", suffix=suffix))
    assert dataset.name == str(tmp_path / "mine")
    assert dataset.image_shape == (4, 3) and dataset.classes == ("0", "1", "2")
    for split in (dataset.train, dataset.test):
        assert split.X.shape == (12, 12) and split.X.dtype == np.uint8 and split.X.flags.f_contiguous
        assert split.y.shape == (12,) and split.y.dtype == np.int64
        np.testing.assert_array_equal(split.X[:, 7], PIXELS[7].ravel())
        np.testing.assert_array_equal(split.y, LABELS)


def test_other_spellings_are_found(tmp_path: Path) -> None:
    for path in write_folder(tmp_path).iterdir():
        path.rename(tmp_path / path.name.replace("t10k", "test").replace("-idx", ".idx"))
    assert load(f"{tmp_path}{os.sep}").test.y.size == 12


def test_a_name_is_a_data_set_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine")
    assert load("mine").image_shape == (4, 3)  # an existing folder needs no separator
    write_folder(tmp_path / "digits")
    assert load("digits").image_shape == (8, 8)  # a known name wins
    assert load("./digits").image_shape == (4, 3)
    refused(ValueError, lambda: load("fashion_mnist"), "did you mean 'fashion-mnist'", *NAMES)
    refused(ValueError, lambda: load("MNIST"), "did you mean 'mnist'")
    refused(ValueError, lambda: load("imagenet-22k"), "imagenet-22k", *NAMES)


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    message = refused(DataUnavailable, lambda: load(folder), folder, "t10k-labels-idx1-ubyte[.gz]")
    assert "train" not in message
    refused(DataUnavailable, lambda: load(tmp_path / "none"), "none", "no such folder", *FILES)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (FILES[1], LABELS[:5], ["12 images", "5 labels"]),
        (FILES[3], LABELS[:5], ["12 images", "5 labels"]),
        (FILES[1], LABELS.reshape(3, 4), ["(3, 4)", "labels"]),
        (FILES[1], PIXELS, ["(12, 4, 3)", "labels"]),
        (FILES[0], LABELS, ["(12,)", "images"]),
        (FILES[2], PIXELS[:, :3], ["3×3", "4×3"]),
    ],
)
def test_files_that_do_not_match_are_refused(
    tmp_path: Path, name: str, array: np.ndarray, words: list[str]
) -> None:
    folder = write_folder(tmp_path)
    (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    refused(ValueError, lambda: load(folder), folder / f"{name}.gz", *words)


def test_images_must_be_bytes_and_labels_integers(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / FILES[0]).write_bytes(idx_bytes(PIXELS, 0x0D))
    refused(ValueError, lambda: load(folder), folder / FILES[0], "float32", "unsigned bytes")
    (folder / FILES[0]).unlink()
    (folder / FILES[1]).write_bytes(idx_bytes(LABELS, 0x0D))
    refused(ValueError, lambda: load(folder), folder / FILES[1], "float32", "integers")


@pytest.mark.parametrize(("label", "code"), [(-1, 0x09), (1000, 0x0B)])
def test_labels_out_of_range_are_refused(tmp_path: Path, label: int, code: int) -> None:
    folder = write_folder(tmp_path)
    (folder / FILES[3]).write_bytes(idx_bytes(np.array([0, 1, label] * 4), code))
    refused(ValueError, lambda: load(folder), FILES[3], f"label {label} at position 2", "0 to 999")
