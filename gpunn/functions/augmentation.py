"""Data augmentation: images are randomly shifted, rotated, scaled and bent each time they are used.

The distortion of an image depends only on the epoch's key and on the image's position in the epoch. It is
therefore the same on every backend, and in a run that is resumed from a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpunn.functions import randoms

AFFINE, NOISE = randoms.LAYERS - 1, randoms.LAYERS - 2  # stand in for the layer in the random streams


@dataclass(frozen=True)
class Augmentation:
    """The random distortion of images, drawn anew for each use, uniformly between −limit and +limit.

    Pixels from outside the image are 0. Values between pixels are interpolated linearly.

    Args:
        shape: (height, width) of the images, stored row by row.
        shift: limit of the vertical and of the horizontal shift, in pixels.
        rotate: limit of the rotation, in degrees.
        scale: limit of the change in size; 0.15 scales by 0.85 to 1.15, independently in height and width.
        elastic: α. Uniform noise, smoothed by a Gaussian and multiplied by α, is the displacement of each
            pixel, in pixels: Simard, Steinkraus and Platt 2003 (σ = 4, α = 34).
        smoothness: σ, the standard deviation of this Gaussian, in pixels.

    Raises:
        ValueError: a number is out of range.

    >>> digits = gpunn.datasets.load("digits")
    >>> net = gpunn.Network(64, [gpunn.Dense(30, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    >>> shown = gpunn.Augmentation(digits.image_shape, shift=0.5, rotate=10)
    >>> history = net.fit(digits.train.X, digits.train.y, epochs=3, augmentation=shown)
    """

    shape: tuple[int, int]
    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    elastic: float = 0.0
    smoothness: float = 6.0

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"augmentation: shape must be the images' (height, width), not {self.shape}")
        for name in ("shift", "rotate", "elastic"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"augmentation: {name} must be 0 or more, not {value}")
        if not 0 <= self.scale < 1:
            raise ValueError(f"augmentation: scale must be in [0, 1), not {self.scale}")
        if not 0 < self.smoothness < np.inf:
            raise ValueError(f"augmentation: smoothness must be above 0, not {self.smoothness}")

    def check(self, n_in: int) -> None:
        """Raise ValueError unless examples of n_in features are images of this shape."""
        height, width = self.shape
        if height * width != n_in:
            raise ValueError(
                f"augmentation is for images of {height}×{width} pixels, but the network has {n_in} inputs"
            )

    def smoothing(self, side: int) -> np.ndarray:
        """The matrix (side, side) that smooths a row or a column of noise; noise outside the image is 0."""
        distance = np.subtract.outer(np.arange(side), np.arange(side))
        bell: np.ndarray = np.exp(-(distance**2) / (2 * self.smoothness**2))
        whole = np.arange(-10 * int(np.ceil(self.smoothness)), 10 * int(np.ceil(self.smoothness)) + 1)
        return bell / np.exp(-(whole**2) / (2 * self.smoothness**2)).sum()

    def affine(self, key: int, places: np.ndarray) -> np.ndarray:
        """The affine part of the distortion of the images at these places (m,) of an epoch (2, 3, m).

        For each image, the pixel at (y, x) relative to the centre is taken from the row and the column that
        this matrix gives for [y, x, 1].
        """
        angle, *scales, down, aside = randoms.uniform(key, places, AFFINE, 5)
        angle, down, aside = np.radians(self.rotate * angle), self.shift * down, self.shift * aside
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned /= 1 + self.scale * np.array(scales)[:, None]
        centre = (np.array(self.shape)[:, None] - 1) / 2
        shifted = turned[:, 0] * down + turned[:, 1] * aside
        return np.concatenate([turned, (centre - shifted)[:, None]], axis=1)
