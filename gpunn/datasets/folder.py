"""Folders of four IDX files: images and labels, for training and for testing."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunn.datasets.dataset import Dataset, DataUnavailable, Split
from gpunn.datasets.idx import read_idx

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MAX_CLASSES = 1000


def find_files(folder: Path) -> dict[str, Path]:
    """Return {name: path} of the FILES that the folder has, in any of the usual spellings."""
    found: dict[str, Path] = {}
    for name in FILES:
        for prefix, dot, suffix in itertools.product(("t10k", "test"), ("-", "."), ("", ".gz")):
            path = folder / (name.replace("t10k", prefix).replace("-idx", f"{dot}idx") + suffix)
            if name not in found and os.path.isfile(path):
                found[name] = path
    return found


def find_all_files(*folders: Path) -> dict[str, Path]:
    """Return {name: path} of all FILES, from the first folder that has all four.

    Raises DataUnavailable if no folder has all four. The message names the files that are missing in the
    folder with most of them; of several such folders, in the last one.
    """
    for folder in folders:
        found = find_files(folder)
        if len(found) == len(FILES):
            return found
    nearest = max(reversed(folders), key=lambda folder: len(find_files(folder)))
    missing = ", ".join(f"{name}[.gz]" for name in FILES if name not in find_files(nearest))
    if not os.path.isdir(nearest):
        raise DataUnavailable(f"{nearest}: no such folder; choose a folder with {missing}")
    others = "".join(f" (also searched {folder})" for folder in folders if folder != nearest)
    raise DataUnavailable(f"{nearest} lacks {missing}{others}; put the missing files there")


def read_folder(name: str, files: dict[str, Path], classes: tuple[str, ...] | None = None) -> Dataset:
    """Read the four files of a data set.

    If `classes` is None, the classes are "0", "1", … up to the largest label.

    Raises ValueError if a file is damaged, or if images and labels do not match; the message names the file.
    """
    n_classes = len(classes) if classes else MAX_CLASSES
    train_images, train_labels = _read_pair(files[FILES[0]], files[FILES[1]], n_classes)
    test_images, test_labels = _read_pair(files[FILES[2]], files[FILES[3]], n_classes)
    height, width = train_images.shape[1:]
    if test_images.shape[1:] != (height, width):
        test_height, test_width = test_images.shape[1:]
        raise ValueError(
            f"{files[FILES[2]]}: images are {test_height}×{test_width}, "
            f"but those of {files[FILES[0]]} are {height}×{width}"
        )
    if classes is None:
        classes = tuple(map(str, range(int(max(np.max(train_labels), np.max(test_labels))) + 1)))
    train = Split.from_images(train_images, train_labels)
    test = Split.from_images(test_images, test_labels)
    return Dataset(name=name, train=train, test=test, image_shape=(height, width), classes=classes)


def _read_pair(
    images_path: Path, labels_path: Path, n_classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    """Read images (m, height, width) and labels (m,) in 0…n_classes − 1."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"{images_path}: {images.dtype} of shape {images.shape}, expected images: "
            "unsigned bytes (count, height, width)"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise ValueError(
            f"{labels_path}: {labels.dtype} of shape {labels.shape}, expected labels: integers (count,)"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} has {len(images):,} images, but {labels_path} has {len(labels):,} labels"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if bad.size:
        raise ValueError(
            f"{labels_path}: label {labels[bad[0]]} at position {bad[0]:,}, expected 0 to {n_classes - 1}"
        )
    return images, labels
