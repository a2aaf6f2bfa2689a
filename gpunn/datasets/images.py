"""Pictures prepared as networks trained on MNIST-like data expect them: light ink on black."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gpunn.datasets.decoding import read_grey, read_resized
from gpunn.datasets.ink import MIN_CONTRAST, find_digits
from gpunn.datasets.paper import border_of
from gpunn.datasets.touching import cut, is_wide

RESAMPLE = Image.Resampling.BICUBIC

# The fraction of the image's side that a digit fills, and the offset of its centre of mass, in pixels from
# the middle of the pixel grid, (side - 1) / 2; both were measured in the data sets.
MNIST_PLACE = (20 / 28, 0.5)
UCI_DIGITS_PLACE = (1.0, 0.0)  # of 8×8


def read_image(
    path: str | os.PathLike[str], image_shape: tuple[int, int], digit: bool = True
) -> NDArray[np.uint8]:
    """Read a picture of any size and mode as X (n_features, m) for a network that takes `image_shape`.

    If `digit`, m is the number of digits on the picture, in reading order. Each is cropped to its ink, scaled
    into the middle 20×20 of 28×28 (all of 8×8, and in proportion for other shapes) and placed with its centre
    of mass at the centre, as in LeCun, Cortes, Burges, "The MNIST database". Otherwise the picture is only
    resized, and inverted if its background (the median of its border) is light. A picture of exactly
    `image_shape` with a dark background is not changed.

    Raises ValueError, in one line that names the file, if it cannot be read or is blank.
    """
    if digit:
        return np.concatenate([mark.whole for mark in read_marks(path, image_shape, cut_wide=False)], axis=1)
    pixels, light = _read_page(path)
    return _resize(255 - pixels if light else pixels, image_shape).reshape(-1, 1)


class Mark(NamedTuple):
    """A mark on a picture, which is a digit, or several that touch each other.

    Attributes:
        whole: (n_features, 1) the mark as one digit.
        parts: (n_features, k) the digits that a mark as wide as several may be cut into; None if it cannot.
        wide: whether it is as wide as several digits.
    """

    whole: NDArray[np.uint8]
    parts: NDArray[np.uint8] | None = None
    wide: bool = False


def read_marks(
    path: str | os.PathLike[str], image_shape: tuple[int, int], *, cut_wide: bool = True
) -> list[Mark]:
    """Read the marks on a picture, in reading order, as `read_image` reads digits.

    cut_wide: whether to cut marks as wide as several digits.

    Raises ValueError, in one line that names the file, if it cannot be read or is blank.
    """
    pixels, light = _read_page(path)
    if pixels.shape == tuple(image_shape) and not light:
        return [Mark(pixels.reshape(-1, 1))]
    marks = []
    for ink in find_digits(pixels):
        parts = cut(ink) if cut_wide else [ink]
        whole, *placed = (_place_digit(each, image_shape).reshape(-1, 1) for each in (ink, *parts))
        marks.append(Mark(whole, np.concatenate(placed, axis=1) if len(parts) > 1 else None, is_wide(ink)))
    if not marks:
        raise ValueError(f"{path}: blank image, nothing on it stands out from the paper and its noise")
    return marks


def _read_page(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], bool]:
    """Return grey values (height, width), and whether their background is light.

    Raises ValueError, in one line that names the file, if it cannot be read or is blank.
    """
    pixels = read_grey(path)
    low, high = int(np.min(pixels)), int(np.max(pixels))
    if high - low < MIN_CONTRAST:
        raise ValueError(f"{path}: blank image, all grey values are from {low} to {high}")
    return pixels, float(np.median(border_of(pixels))) > (low + high) / 2


def read_picture(
    path: str | os.PathLike[str], image_shape: tuple[int, int], channels: int
) -> NDArray[np.uint8]:
    """Read a picture as X (height·width·channels, 1) for a network trained on pictures as they are.

    The picture is resized to `image_shape`, and converted to grey if `channels` is 1.

    Raises ValueError, in one line that names the file, if it cannot be read.
    """
    return in_channels(read_resized(Path(path), image_shape), channels).reshape(-1, 1)


def in_channels(colours: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Convert colours (height, width, 3) to grey values (height, width) if `channels` is 1."""
    return colours if channels == 3 else np.asarray(Image.fromarray(colours).convert("L"))


def _resize(pixels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Resize (height, width) uint8 or float32 to shape, averaging over the area of each new pixel."""
    height, width = shape
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLE))


def _place_digit(ink: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale the ink to its box and place its centre of mass at the centre, keeping all ink in the image."""
    part, shift = UCI_DIGITS_PLACE if tuple(shape) == (8, 8) else MNIST_PLACE
    scale = min(part * side / length for side, length in zip(shape, ink.shape, strict=True))
    ink = _resize(ink, (max(1, round(scale * ink.shape[0])), max(1, round(scale * ink.shape[1]))))
    ink = np.clip(ink / np.max(ink), 0, 1)  # averaging makes thin strokes faint
    placed = np.zeros(shape, np.uint8)
    top, left = (
        int(np.clip(round((side - 1) / 2 + shift - mass_centre), 0, side - length))
        for side, length, mass_centre in zip(shape, ink.shape, _centre_of_mass(ink), strict=True)
    )
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(255 * ink)
    return placed


def _centre_of_mass(ink: NDArray[np.float32]) -> tuple[float, float]:
    """Return (row, column), rounded to 0.001 pixels so that symmetric ink lies exactly at a half."""
    rows, columns = ink.sum(axis=1), ink.sum(axis=0)
    mass = rows.sum()
    centres = rows @ np.arange(len(rows)) / mass, columns @ np.arange(len(columns)) / mass
    return round(float(centres[0]), 3), round(float(centres[1]), 3)
