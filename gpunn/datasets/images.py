"""Pictures and arrays from files, made into what networks trained on MNIST-like data expect."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MIN_CONTRAST = 16  # of 255; less is paper, not ink
FAINT = 0.2  # of the darkest ink; less does not extend the bounding box
RESAMPLE = Image.Resampling.BICUBIC

# The part of the image's side that a digit fills, and where its centre of mass lies, in pixels from the
# middle of the pixel grid, (side - 1) / 2: both as measured in the data sets.
MNIST_PLACE = (20 / 28, 0.5)
UCI_DIGITS_PLACE = (1.0, 0.0)  # of 8×8


def read_image(
    path: str | os.PathLike[str], image_shape: tuple[int, int], digit: bool = True
) -> NDArray[np.uint8]:
    """Return a picture as one example (n_features,) for a network that takes images (height, width).

    Any size and mode; transparency is laid on white; a light background (the median of the border) is
    inverted. A digit is cropped to its ink, scaled into the middle 20×20 of 28×28 (all of 8×8, and in
    proportion for other shapes) and placed with its centre of mass at the centre, as in LeCun, Cortes,
    Burges, "The MNIST database"; other pictures are only resized. A grey picture of exactly
    image_shape on a dark background is taken as it is.

    Raises ValueError, in one line that names the file, when it cannot be read or is blank.
    """
    image = _open(Path(path))
    pixels = _grey(image)
    low, high = int(np.min(pixels)), int(np.max(pixels))
    if high - low < MIN_CONTRAST:
        raise ValueError(f"{path}: blank image, its grey values are all within {low} to {high}")
    light = _background(pixels) > (low + high) / 2
    if image.mode == "L" and pixels.shape == tuple(image_shape) and not light:
        return pixels.ravel()
    if light:
        pixels = 255 - pixels
    scaled = _place_digit(pixels, image_shape) if digit else _resize(pixels, image_shape)
    return scaled.ravel()


def read_columns(path: str | os.PathLike[str], n_features: int) -> NDArray[Any]:
    """Return the examples in a .npy file as X (n_features, m), column-major, in the file's dtype.

    The file may hold (n_features,), (n_features, m), (m, height, width) with height·width = n_features,
    or rows (m, n_features); where both fit, columns win.

    Raises ValueError, in one line that names the file, when it cannot be read, holds other than real
    numbers (pickled objects among them) or fits no n_features.
    """
    array: NDArray[Any]
    try:  # open_memmap reads neither .npz nor pickles, and checks the size announced
        array = np.lib.format.open_memmap(os.fspath(path), mode="r")
    except Exception as error:  # the header is parsed as Python, so damage gives tokenizer errors too
        raise ValueError(f"{path}: not a readable .npy file ({_one_line(error)})") from error
    if array.dtype.kind not in "buif" or array.size == 0:
        raise ValueError(f"{path}: {array.dtype} of shape {array.shape}, expected some real numbers")
    shape = array.shape
    if array.ndim == 3:
        array = array.reshape(len(array), -1).T
    elif array.ndim == 1:
        array = array[:, np.newaxis]
    elif array.ndim == 2 and array.shape[0] != n_features:
        array = array.T
    if array.ndim != 2 or array.shape[0] != n_features:
        raise ValueError(f"{path}: shape {shape}, expected {n_features} features a column: ({n_features}, m)")
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="F")


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not a picture, expected one of {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise all sorts of things on damaged files
        raise ValueError(f"{path}: cannot be read as a picture ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return grey values (height, width), whatever the mode."""
    if image.mode.startswith("I"):  # 16 bits, which convert("L") would clip at 255
        return np.asarray(np.clip(np.array(image), 0, 65535) // 257, dtype=np.uint8)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("L"))


def _background(pixels: NDArray[np.uint8]) -> float:
    return float(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))


def _resize(pixels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Resize (height, width) uint8 or float32 to shape, averaging over what each new pixel covers."""
    height, width = shape
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLE))


def _crop_to_ink(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the bounding box of what is lighter than the background, stretched to 0…1."""
    background, brightest = _background(pixels), float(np.max(pixels))
    ink = pixels > background + FAINT * (brightest - background)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    crop = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    return np.asarray(np.clip((crop - background) / (brightest - background), 0, 1), dtype=np.float32)


def _place_digit(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale the ink into its box and put its centre of mass at the centre, without leaving the image."""
    ink = _crop_to_ink(pixels)
    part, shift = UCI_DIGITS_PLACE if tuple(shape) == (8, 8) else MNIST_PLACE
    scale = min(part * side / length for side, length in zip(shape, ink.shape, strict=True))
    ink = _resize(ink, (max(1, round(scale * ink.shape[0])), max(1, round(scale * ink.shape[1]))))
    ink = np.clip(ink / np.max(ink), 0, 1)  # a thin stroke, averaged, would be faint
    placed = np.zeros(shape, np.uint8)
    top, left = (
        int(np.clip(round((side - 1) / 2 + shift - mass_centre), 0, side - length))
        for side, length, mass_centre in zip(shape, ink.shape, _centre_of_mass(ink), strict=True)
    )
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(255 * ink)
    return placed


def _centre_of_mass(ink: NDArray[np.float32]) -> tuple[float, float]:
    """(row, column), to a thousandth of a pixel: symmetric ink lies at a half exactly."""
    rows, columns = ink.sum(axis=1), ink.sum(axis=0)
    mass = rows.sum()
    centres = rows @ np.arange(len(rows)) / mass, columns @ np.arange(len(columns)) / mass
    return round(float(centres[0]), 3), round(float(centres[1]), 3)
