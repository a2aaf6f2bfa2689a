"""Data augmentation: an image is shown anew every time, shifted, turned, scaled and bent a little.

What an image is shown as depends on the epoch's key and on where the image comes in the epoch alone, so
it is the same on every backend, and in a training that goes on after a break.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpunn.functions import randoms

AFFINE, NOISE = randoms.LAYERS - 1, randoms.LAYERS - 2  # in the place of a layer, for the random numbers


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image each time it is shown, drawn anew, uniformly between plus and minus.

    What comes in from outside is 0. Pixels between pixels are interpolated linearly.

    Args:
        shape: (height, width) of the images, whose pixels run row by row.
        shift: pixels, down and sideways.
        rotate: degrees.
        scale: 0.15 is by 0.85 to 1.15, in height and width apart.
        elastic: α, by which a field of uniform noise, smoothed by a Gaussian, becomes each pixel's
            displacement in pixels: Simard, Steinkraus and Platt 2003 (σ 4, α 34).
        smoothness: σ, that Gaussian's standard deviation in pixels.

    Raises:
        ValueError: a number is out of its range.

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
            raise ValueError(f"augmentation needs the images' (height, width), not {self.shape}")
        for name in ("shift", "rotate", "elastic"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"augmentation: {name} must be 0 or more, not {value}")
        if not 0 <= self.scale < 1:
            raise ValueError(f"augmentation: scale must be in [0, 1), not {self.scale}")
        if not 0 < self.smoothness < np.inf:
            raise ValueError(f"augmentation: smoothness must be above 0, not {self.smoothness}")

    def check(self, n_in: int) -> None:
        """ValueError unless examples of n_in features are such images."""
        height, width = self.shape
        if height * width != n_in:
            raise ValueError(f"augmentation is for images of {height}×{width}, not for {n_in} features")

    def smoothing(self, side: int) -> np.ndarray:
        """(side, side): by which a row or column of noise is smoothed; outside there is none."""
        distance = np.subtract.outer(np.arange(side), np.arange(side))
        bell: np.ndarray = np.exp(-(distance**2) / (2 * self.smoothness**2))
        whole = np.arange(-10 * int(np.ceil(self.smoothness)), 10 * int(np.ceil(self.smoothness)) + 1)
        return bell / np.exp(-(whole**2) / (2 * self.smoothness**2)).sum()

    def affine(self, key: int, first: int, m: int) -> np.ndarray:
        """(2, 3, m): for the images first…first + m − 1 of an epoch, the row and column from which a pixel
        at (y, x) from the centre comes, as three factors of y, x and 1."""
        angle, *scales, down, aside = randoms.uniform(key, np.arange(first, first + m), AFFINE, 5)
        angle, down, aside = np.radians(self.rotate * angle), self.shift * down, self.shift * aside
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned /= 1 + self.scale * np.array(scales)[:, None]
        centre = (np.array(self.shape)[:, None] - 1) / 2
        shifted = turned[:, 0] * down + turned[:, 1] * aside
        return np.concatenate([turned, (centre - shifted)[:, None]], axis=1)
