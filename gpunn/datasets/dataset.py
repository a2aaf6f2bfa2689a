"""A data set, and the error if it is unavailable."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpunn.names import listed

FEW = 4  # classes to name in repr


@dataclass(frozen=True, eq=False)
class Split:
    """Examples and their classes.

    Attributes:
        X: (n_features, m) uint8, column-major: each example contiguous.
        y: (m,) int64, the class of each example, 0…n − 1.
    """

    X: NDArray[np.uint8]
    y: NDArray[np.int64]

    @classmethod
    def from_images(cls, images: NDArray[np.uint8], labels: NDArray[Any]) -> "Split":
        """View C-ordered images (m, height, width) as X (height·width, m), with labels (m,) as y.

        >>> gpunn.datasets.Split.from_images(np.zeros((5, 8, 8), np.uint8), np.arange(5)).X.shape
        (64, 5)
        """
        return cls(X=images.reshape(len(images), -1).T, y=labels.astype(np.int64))

    def __repr__(self) -> str:
        return f"Split(X: {self.X.shape} {self.X.dtype}, y: {self.y.shape} {self.y.dtype})"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples of the same kind.

    >>> gpunn.datasets.load("digits")
    Dataset('digits': 1,437 training and 360 test images of 8×8, 10 classes: 0, 1, 2, 3, … (10 in all))

    Attributes:
        name: name of the data set, or path of its folder.
        train: training examples.
        test: test examples.
        image_shape: (height, width).
        classes: name of each class.
        channels: 1 for grey images, 3 for colour; X has height·width·channels features.
        as_is: whether the images are pictures of any kind. Otherwise they are light ink on a dark background.
        notes: what was assumed or changed while the files were read, one line each.
    """

    name: str
    train: Split
    test: Split
    image_shape: tuple[int, int]
    classes: tuple[str, ...]
    channels: int = 1
    as_is: bool = False
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        height, width = self.image_shape
        colour = "colour " if self.channels == 3 else ""
        return (
            f"Dataset({self.name!r}: {len(self.train.y):,} training and {len(self.test.y):,} test "
            f"{colour}images of {height}×{width}, {len(self.classes):,} classes: {listed(self.classes, FEW)})"
        )


class DataUnavailable(OSError):
    """Files of a data set are missing and cannot be downloaded; the message says why, and what to do."""


class Form(NamedTuple):
    """The pictures that a network takes: (height, width), 1 channel for grey or 3 for colour, and classes."""

    shape: tuple[int, int]
    channels: int
    classes: tuple[str, ...]
