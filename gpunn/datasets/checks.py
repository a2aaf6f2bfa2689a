"""Checks of a data set's content, which warn in one line: loading and training go on."""

import hashlib
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gpunn.datasets.dataset import Dataset, Split
from gpunn.datasets.download import SHA256
from gpunn.datasets.folder import FILES

TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}

# Checksums of MNIST's four files without compression.
MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FASHION_COUNTS = (6000, 1000)  # of each class, for training and for testing


def check_published(dataset: Dataset, files: Mapping[str, Path]) -> None:
    """Warn if the files of MNIST or Fashion-MNIST do not hold what was published under that name."""
    other = _altered_mnist(dataset) if dataset.name == "mnist" else _altered_fashion(dataset, files)
    if other:
        title, folder = TITLES[dataset.name], files[FILES[0]].parent
        warnings.warn(
            f"{folder} is not {title}: the content of {', '.join(other)} differs from the published "
            "files; replace them unless you changed them on purpose",
            stacklevel=4,
        )


def is_mnist(dataset: Dataset) -> bool:
    """Return whether the images and labels are those of MNIST."""
    return not _altered_mnist(dataset)


def _altered_mnist(dataset: Dataset) -> list[str]:
    """Return the names of the files whose content is not MNIST's."""
    found = [
        checksum
        for split in (dataset.train, dataset.test)
        for checksum in _checksums(split, dataset.image_shape)
    ]
    return [name for name, own, published in zip(FILES, found, MNIST_SHA256, strict=True) if own != published]


def _checksums(split: Split, shape: tuple[int, int]) -> list[str]:
    """Return the checksums of the IDX files that hold images and labels."""
    m = len(split.y)
    images = hashlib.sha256(struct.pack(">IIII", 0x803, m, *shape))
    images.update(np.ascontiguousarray(split.X.T).data)
    labels = hashlib.sha256(struct.pack(">II", 0x801, m) + split.y.astype(np.uint8).tobytes())
    return [images.hexdigest(), labels.hexdigest()]


def _altered_fashion(dataset: Dataset, files: Mapping[str, Path]) -> list[str]:
    """Return the names of the files that are not Fashion-MNIST's, by checksum or at least by their labels."""
    balanced = all(
        np.bincount(split.y, minlength=10).tolist() == [count] * 10
        for split, count in zip((dataset.train, dataset.test), FASHION_COUNTS, strict=True)
    )
    if balanced and dataset.image_shape == (28, 28):
        return []
    sums = SHA256["fashion-mnist"]
    return [name for name in FILES if hashlib.sha256(files[name].read_bytes()).hexdigest() != sums[name]]


def check_variety(dataset: Dataset) -> None:
    """Warn if all images of a split are alike, or if all its labels are the same class."""
    for split, kind in ((dataset.train, "training"), (dataset.test, "test")):
        m = len(split.y)
        if m < 2:
            continue
        alike = np.array_equal(split.X[:, 0], split.X[:, 1])  # settles it for nearly every data set
        if alike and np.array_equal(split.X[:, : m - 1], split.X[:, 1:]):
            _warn(f"{dataset.name}: all {m:,} {kind} images are alike, so nothing can be learnt from them")
        if np.ptp(split.y) == 0:
            label = dataset.classes[split.y[0]]
            _warn(f"{dataset.name}: all {m:,} {kind} examples are of the class '{label}'")


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)
