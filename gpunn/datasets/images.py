"""Images and arrays from files, prepared as networks trained on MNIST-like data expect."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MIN_CONTRAST = 16  # of 255; an image with less contrast is blank
FAINT = 0.2  # of the darkest ink; fainter pixels do not extend the bounding box
RESAMPLE = Image.Resampling.BICUBIC

# The fraction of the image's side that a digit fills, and the offset of its centre of mass, in pixels from
# the middle of the pixel grid, (side - 1) / 2; both were measured in the data sets.
MNIST_PLACE = (20 / 28, 0.5)
UCI_DIGITS_PLACE = (1.0, 0.0)  # of 8×8


def read_image(
    path: str | os.PathLike[str], image_shape: tuple[int, int], digit: bool = True
) -> NDArray[np.uint8]:
    """Read an image of any size and mode as one example (n_features,) for a network that takes `image_shape`.

    Transparency becomes white. An image with a light background (the median of its border) is inverted. A
    digit is cropped to its ink, scaled into the middle 20×20 of 28×28 (all of 8×8, and in proportion for
    other shapes) and placed with its centre of mass at the centre, as in LeCun, Cortes, Burges, "The MNIST
    database". Other images are only resized. A grey image of exactly `image_shape` with a dark background is
    not changed.

    Raises ValueError, in one line that names the file, if it cannot be read or is blank.
    """
    image = _open(Path(path))
    pixels = _grey(image)
    low, high = int(np.min(pixels)), int(np.max(pixels))
    if high - low < MIN_CONTRAST:
        raise ValueError(f"{path}: blank image, all grey values are from {low} to {high}")
    light = _background(pixels) > (low + high) / 2
    if image.mode == "L" and pixels.shape == tuple(image_shape) and not light:
        return pixels.ravel()
    if light:
        pixels = 255 - pixels
    scaled = _place_digit(pixels, image_shape) if digit else _resize(pixels, image_shape)
    return scaled.ravel()


def read_columns(path: str | os.PathLike[str], n_features: int) -> NDArray[Any]:
    """Read the examples in a .npy file as X (n_features, m), column-major, in the file's dtype.

    The array may have the shape (n_features,), (n_features, m), (m, n_features), or (m, height, width) with
    height·width = n_features. A square array has examples as columns.

    Raises ValueError, in one line that names the file, if it cannot be read, holds anything but real numbers
    (such as pickled objects), or has another number of features.
    """
    array: NDArray[Any]
    try:  # open_memmap reads neither .npz nor pickles, and checks the size in the header
        array = np.lib.format.open_memmap(os.fspath(path), mode="r")
    except Exception as error:  # the header is parsed as Python, so damage may raise tokenizer errors
        raise ValueError(f"{path}: not a readable .npy file ({_one_line(error)})") from error
    if array.dtype.kind not in "buif" or array.size == 0:
        raise ValueError(f"{path}: {array.dtype} of shape {array.shape}, expected real numbers")
    shape = array.shape
    if array.ndim == 3:
        array = array.reshape(len(array), -1).T
    elif array.ndim == 1:
        array = array[:, np.newaxis]
    elif array.ndim == 2 and array.shape[0] != n_features:
        array = array.T
    if array.ndim != 2 or array.shape[0] != n_features:
        raise ValueError(
            f"{path}: shape {shape}, expected examples with {n_features} features: ({n_features}, m)"
        )
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="F")


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not an image, expected {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise many kinds of errors for damaged files
        raise ValueError(f"{path}: cannot be read as an image ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """Convert an image of any mode to grey values (height, width)."""
    if image.mode.startswith("I"):  # 16 bits, which convert("L") would clip to 255
        return np.asarray(np.clip(np.array(image), 0, 65535) // 257, dtype=np.uint8)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("L"))


def _background(pixels: NDArray[np.uint8]) -> float:
    """Return the median of the border."""
    return float(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))


def _resize(pixels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Resize (height, width) uint8 or float32 to shape, averaging over the area of each new pixel."""
    height, width = shape
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLE))


def _crop_to_ink(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Crop to the pixels that are lighter than the background, and scale them to 0…1."""
    background, brightest = _background(pixels), float(np.max(pixels))
    ink = pixels > background + FAINT * (brightest - background)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    crop = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    return np.asarray(np.clip((crop - background) / (brightest - background), 0, 1), dtype=np.float32)


def _place_digit(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale the ink to its box and place its centre of mass at the centre, keeping all ink in the image."""
    ink = _crop_to_ink(pixels)
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
