"""Picture files of any size and mode as grey values or colours, within bounds on memory."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from gpunn.names import one_line

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
SEEN = ".seen"  # in the names of the pictures that `gpunn predict --show` writes
MAX_PIXELS = 64_000_000  # a file of 0.2 MB can hold a picture that fills the memory
WORKING_SIDE = 2000  # pixels; longer pictures are reduced, which also averages their noise
FAINT_ON_WHITE = 64  # of 255; transparent pictures with less contrast on white may be light ink
DEPTHS = (255, 4095, 65535)  # largest values of pixels with 8, 12 and 16 bits


def is_picture(path: Path) -> bool:
    """Whether a file has the name of a picture, is not hidden, and does not show what a network saw."""
    seen = Path(path.stem).suffix == SEEN
    return path.suffix.lower() in SUFFIXES and not seen and not path.name.startswith(".")


def read_grey(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a picture as grey values (height, width), at most WORKING_SIDE pixels wide and high.

    Transparency becomes white, or black if the picture can hardly be seen on white. Of an animation, the
    first frame is read.

    Raises ValueError, in one line that names the file, if it cannot be read or has too many pixels.
    """
    return np.asarray(_read(Path(path), "L"))


def read_resized(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a picture as colours (height, width, 3), resized to `shape`; see `read_grey` for the rest."""
    image = _read(path, "RGB", wanted=max(shape))
    height, width = shape
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def read_size(path: Path) -> tuple[int, int]:
    """Return the height and width of a picture, upright, from its header."""
    with _blame(path), Image.open(path, formats=FORMATS) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        return image.size if turned else image.size[::-1]


@contextmanager
def _blame(path: Path) -> Iterator[None]:
    """Turn errors of the decoders, which are of many kinds, into one line about the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not an image, expected {', '.join(FORMATS)}") from error
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as an image ({one_line(error)})") from error


def _read(path: Path, mode: str, wanted: int = WORKING_SIDE) -> Image.Image:
    """Read a picture in the mode "L" or "RGB", reduced early if it is much larger than wanted."""
    with _blame(path), Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width:,}×{height:,} pixels, expected at most {MAX_PIXELS:,}: make it smaller")
        if not image.getexif().get(0x0112):
            image.draft(None, (2 * wanted, 2 * wanted))  # JPEG only
        image = _whole_range(image)
        excess = -(-max(image.size) // max(2 * wanted, WORKING_SIDE))
        if excess > 1:
            image = image.reduce(excess)
        return _on_paper(ImageOps.exif_transpose(image), mode)


def _whole_range(image: Image.Image) -> Image.Image:
    """Convert deep, floating-point, palette and bilevel pixels to a mode with 8 bits a channel."""
    if image.mode.startswith("I") or image.mode == "F":  # convert("L") would clip at 255
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("pixels that are infinite or not a number")
        top = float(values.max())
        if image.mode == "F" and top <= 1:
            whole = 1.0
        else:
            whole = float(next((depth for depth in DEPTHS if top <= depth), top))
        grey = Image.fromarray((np.clip(values, 0, whole) * np.float32(255 / whole)).astype(np.uint8))
        grey.info.update({k: v for k, v in image.info.items() if k == "exif"})
        return grey
    if image.has_transparency_data:
        return image.convert("LA" if image.mode == "LA" else "RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def _on_paper(image: Image.Image, mode: str) -> Image.Image:
    """Lay a picture on white, or on black if white hides it."""
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    white, black = (
        Image.alpha_composite(Image.new("RGBA", image.size, ground), image) for ground in ("white", "black")
    )
    seen, other = (_contrast(laid) for laid in (white, black))
    return (black if seen < FAINT_ON_WHITE and other > 2 * seen else white).convert(mode)


def _contrast(image: Image.Image) -> int:
    low, high = image.convert("L").getextrema()
    return int(high) - int(low)  # type: ignore[arg-type]
