"""Pictures of a digit: how they are prepared for a network, and which are refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import idx_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile

from gpunn.datasets import Dataset, images

MNIST = (28, 28)
FUZZ = settings(max_examples=60)


def seven(size: tuple[int, int] = (200, 260), paper: int = 255, ink: int = 0) -> Image.Image:
    """Draw a 7, off centre."""
    page = Image.new("L", size, paper)
    ImageDraw.Draw(page).line([(40, 60), (100, 60), (60, 180)], fill=ink, width=14)
    return page


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.astype(float), b.astype(float))[0, 1])


def read_image(path: Path, shape: tuple[int, int], digit: bool = True) -> np.ndarray:
    """Read a picture that holds a single example, as a vector."""
    (example,) = images.read_image(path, shape, digit).T
    return example


def refused(action: Callable[[], Any], *words: object) -> None:
    idx_files.refused(ValueError, action, *words)


def test_a_digit_is_placed_as_in_mnist(tmp_path: Path) -> None:
    pixels = read_image(save(seven(), tmp_path / "7.png"), MNIST)
    assert pixels.shape == (784,) and pixels.dtype == np.uint8
    image = pixels.reshape(MNIST).astype(float)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert len(rows) == 20 and len(columns) < 20  # fits the box and keeps its aspect ratio
    assert image.max() == 255 and np.median(image) == 0
    assert abs((image.sum(axis=1) @ np.arange(28)) / image.sum() - 14) <= 0.5
    assert abs((image.sum(axis=0) @ np.arange(28)) / image.sum() - 14) <= 0.5


def rgba(page: Image.Image) -> Image.Image:
    """Make the paper transparent."""
    image = Image.new("RGBA", page.size, (0, 0, 0, 0))
    image.putalpha(Image.fromarray(255 - np.asarray(page)))
    return image


VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rgb.png": lambda page: page.convert("RGB"),
    "rgb.jpg": lambda page: page.convert("RGB"),
    "grey.jpg": lambda page: page,
    "cmyk.jpg": lambda page: page.convert("RGB").convert("CMYK"),
    "palette.png": lambda page: page.convert("P"),
    "bilevel.png": lambda page: page.convert("1"),
    "transparent.png": rgba,
    "grey-alpha.png": lambda page: rgba(page).convert("LA"),
    "16-bit.png": lambda page: Image.fromarray(np.asarray(page).astype(np.uint16) * 257),
    "inverted.png": lambda page: Image.fromarray(255 - np.asarray(page)),
    "larger.png": lambda page: page.resize((1000, 1300), Image.Resampling.NEAREST),
    "faint.png": lambda page: Image.fromarray((120 + np.asarray(page) // 5).astype(np.uint8)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_mode_gives_the_same_digit(tmp_path: Path, name: str) -> None:
    plain = read_image(save(seven(), tmp_path / "plain.png"), MNIST)
    variant = read_image(save(VARIANTS[name](seven()), tmp_path / name), MNIST)
    assert correlation(plain, variant) > 0.97


def test_orientation_of_a_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90°
    turned = seven().transpose(Image.Transpose.ROTATE_90)
    pixels = read_image(save(turned, tmp_path / "photo.jpg", exif=exif), MNIST)
    assert correlation(pixels, read_image(save(seven(), tmp_path / "a.png"), MNIST)) > 0.97


def test_a_thin_stroke_is_not_faint(tmp_path: Path) -> None:
    page = Image.new("L", (900, 900), 255)
    ImageDraw.Draw(page).line([(200, 100), (450, 800)], fill=0, width=2)
    assert read_image(save(page, tmp_path / "thin.png"), MNIST).max() == 255


def test_an_image_of_the_right_shape_is_not_changed(tmp_path: Path) -> None:
    pixels = np.zeros(MNIST, np.uint8)
    pixels[3:9, 2:5] = 200
    path = save(Image.fromarray(pixels), tmp_path / "a.png")
    for digit in (True, False):
        np.testing.assert_array_equal(read_image(path, MNIST, digit), pixels.ravel())


def test_images_other_than_digits_are_only_resized(tmp_path: Path) -> None:
    page = np.full((56, 56), 250, np.uint8)
    page[4:12, 8:16] = 50
    pixels = read_image(save(Image.fromarray(page), tmp_path / "a.png"), MNIST, digit=False).reshape(MNIST)
    assert pixels[3, 5] > 190 and abs(int(pixels[20, 20]) - 5) <= 1
    wide = read_image(tmp_path / "a.png", (10, 30), digit=False)
    assert wide.shape == (300,)


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (20, 40), (1, 5)])
def test_other_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = read_image(save(seven(), tmp_path / "7.png"), shape).reshape(shape)
    height = np.flatnonzero(image.any(axis=1)).size
    assert image.max() == 255
    assert height == (8 if shape == (8, 8) else max(1, round(shape[0] * 20 / 28)))


@pytest.mark.parametrize("digit", [True, False])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_image_is_refused(tmp_path: Path, digit: bool, grey: int) -> None:
    page = np.full((40, 40), grey, np.uint8)
    page[20, 20] ^= 3  # dust
    path = save(Image.fromarray(page), tmp_path / "blank.png")
    refused(lambda: read_image(path, MNIST, digit), path, "blank")
    refused(lambda: read_image(save(Image.new("L", MNIST, grey), path), MNIST, digit), path, "blank")


def test_files_that_are_not_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("seven")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("notes.txt", "empty.png", "none.png", "."):
        refused(lambda name=name: read_image(tmp_path / name, MNIST), tmp_path / name)


def test_an_image_of_absurd_size_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    refused(lambda: read_image(tmp_path / "bomb.png", MNIST), "bomb.png", "pixels")


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_pixels_are_bounded_before_they_are_decoded(tmp_path: Path, mode: str) -> None:
    path = save(Image.new(mode, (11_000, 8_000)), tmp_path / "bomb.png")
    assert path.stat().st_size < 500_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
        refused(lambda: read_image(path, MNIST), path, "11,000×8,000 pixels", "at most 64,000,000")


def test_pixels_with_12_bits_and_fractions_are_not_faint(tmp_path: Path) -> None:
    page = np.asarray(seven())
    plain = read_image(save(seven(), tmp_path / "a.png"), MNIST)
    for scaled in (page.astype(np.uint16) * 16, page / np.float32(255), page.astype(np.int32) * 257):
        path = save(Image.fromarray(scaled), tmp_path / "a.tiff")
        assert correlation(plain, read_image(path, MNIST)) > 0.99


@FUZZ
@given(kind=st.sampled_from(["png", "jpg", "gif"]), part=st.floats(0, 1), value=st.integers(0, 255))
def test_a_damaged_image_is_read_or_refused(tmp_path: Path, kind: str, part: float, value: int) -> None:
    path = save(seven((120, 200)), tmp_path / f"a.{kind}")
    data = bytearray(path.read_bytes())
    position = int(part * (len(data) - 1))
    data[position] ^= value
    path.write_bytes(data[: position + value])
    try:
        assert len(images.read_image(path, MNIST)) == 784  # of one digit, or of what looks like several
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_mnist_digits_survive_being_photographed(tmp_path: Path, mnist: Dataset, kind: str) -> None:
    correlations = []
    for digit in mnist.test.X.T[:40]:
        dark = Image.fromarray(255 - digit.reshape(MNIST)).resize((308, 308), Image.Resampling.NEAREST)
        page = Image.new("L", (640, 480), 255)
        page.paste(dark, (250, 90))
        correlations.append(correlation(digit, read_image(save(page, tmp_path / f"a.{kind}"), MNIST)))
    assert min(correlations) > 0.8 and np.mean(correlations) > 0.95
