"""What a data set is, and what is raised when there is none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Examples and their classes.

    Attributes:
        X: (n_features, m) uint8, column-major: each example contiguous.
        y: (m,) int64, its class, 0…n − 1.
    """

    X: NDArray[np.uint8]
    y: NDArray[np.int64]

    @classmethod
    def from_images(cls, images: NDArray[np.uint8], labels: NDArray[Any]) -> "Split":
        """images (m, height, width), C-ordered → X (height·width, m), a view; labels (m,) → y.

        >>> gpunn.datasets.Split.from_images(np.zeros((5, 8, 8), np.uint8), np.arange(5)).X.shape
        (64, 5)
        """
        return cls(X=images.reshape(len(images), -1).T, y=labels.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples of the same kind.

    Attributes:
        name: of the data set.
        train: to learn from.
        test: not to learn from.
        image_shape: (height, width).
        classes: classes[k] names class k.
    """

    name: str
    train: Split
    test: Split
    image_shape: tuple[int, int]
    classes: tuple[str, ...]


class DataUnavailable(OSError):
    """The data are nowhere to be found and cannot be downloaded; one line says why and what to do."""
