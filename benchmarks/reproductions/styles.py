"""Digits written in other styles: of one width, or upright.

Meier et al. 2011 train the members of a committee on digits that are normalised in different ways, so that
their errors are less correlated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIDE = 28
AT_ONCE = 2000  # images
Sources = Callable[[np.ndarray], np.ndarray]  # images (m, 28, 28) ↦ each pixel's column in them (m, 28, 28)


def restyle(X: np.ndarray, sources: Sources) -> np.ndarray:
    """Return images X (784, m), in bytes, with pixels taken from other columns of the same row.

    Values between columns are interpolated linearly; outside the image they are 0.
    """
    out = np.empty(X.shape, np.uint8, order="F")
    for start in range(0, X.shape[1], AT_ONCE):
        images = X[:, start : start + AT_ONCE].T.reshape(-1, SIDE, SIDE).astype(np.float32)
        column = sources(images).clip(-1, SIDE)
        left = np.floor(column).astype(np.intp)
        padded = np.pad(images, ((0, 0), (0, 0), (1, 2)))  # columns −1, 28 and 29 are empty
        a, b = (np.take_along_axis(padded, left + k, axis=2) for k in (1, 2))
        found = a + (column - left) * (b - a)
        out[:, start : start + AT_ONCE] = np.rint(found).astype(np.uint8).reshape(-1, SIDE * SIDE).T
    return out


def of_width(pixels: float) -> Sources:
    """Stretch each digit to this width, between its first and its last column with ink."""

    def sources(images: np.ndarray) -> np.ndarray:
        inked: np.ndarray = np.any(images, axis=1)  # (m, 28)
        first, last = inked.argmax(axis=1), SIDE - 1 - inked[:, ::-1].argmax(axis=1)
        width = np.where(inked.any(axis=1), last - first + 1, pixels)
        columns = np.arange(SIDE) - (SIDE - 1) / 2
        column = (first + last)[:, None] / 2 + columns * (width / pixels)[:, None]
        return np.broadcast_to(column[:, None], images.shape)

    return sources


def upright(images: np.ndarray) -> np.ndarray:
    """Shear each digit until its ink's columns and rows are uncorrelated."""
    rows = columns = np.arange(SIDE, dtype=np.float32)
    ink = np.maximum(images.sum(axis=(1, 2)), 1e-9)
    y, x = (images.sum(axis=axis) @ rows / ink for axis in (2, 1))  # the centre of the ink
    dy, dx = rows - y[:, None], columns - x[:, None]  # (m, 28)
    covariance = np.einsum("mrc,mr,mc->m", images, dy, dx)
    slope = covariance / np.maximum(np.einsum("mrc,mr->m", images, dy**2), 1e-9)
    sheared: np.ndarray = columns[None, None] + slope[:, None, None] * dy[:, :, None]
    return sheared
