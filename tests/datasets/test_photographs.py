"""Photographed digits: paper under uneven light, ruled lines, frames, and several digits on a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpunn import Dense, Network
from gpunn.datasets import Dataset, load
from gpunn.datasets.images import read_image

HEIGHT, WIDTH = 450, 600
MNIST = (28, 28)


@pytest.fixture(scope="module")
def net() -> tuple[Network, Dataset]:
    """Train a network on the small digits."""
    digits = load("digits")
    net = Network(64, [Dense(64, "relu"), Dense(10, "softmax")], seed=0)
    net.fit(digits.train.X, digits.train.y, epochs=30, optimizer="adam", device="cpu")
    return net, digits


def drawn(pixels: np.ndarray, side: int, top: int, left: int) -> np.ndarray:
    """Return ink (HEIGHT, WIDTH) from 0 to 1 with a digit of this size at this place."""
    shape = (int(len(pixels) ** 0.5),) * 2
    big = Image.fromarray(pixels.reshape(shape)).resize((side, side), Image.Resampling.BICUBIC)
    ink = np.zeros((HEIGHT, WIDTH))
    ink[top : top + side, left : left + side] = np.asarray(big) / 255
    return ink


def photograph(path: Path, ink: np.ndarray, paper: np.ndarray, noise: float) -> Path:
    """Save a photograph of dark ink on paper."""
    rng = np.random.default_rng(0)
    photo = paper * (1 - ink) + 60 * ink + rng.normal(0, noise, ink.shape)
    Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return path


ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
LIGHTS = {
    "even": np.full((HEIGHT, WIDTH), 220.0),
    "side": 170 + 50 * COLUMNS / WIDTH,
    "strong": 100 + 140 * COLUMNS / WIDTH,
    "vignette": 225 - 180 * (((COLUMNS - WIDTH / 2) / WIDTH) ** 2 + ((ROWS - HEIGHT / 2) / HEIGHT) ** 2),
}


def read_right(net: tuple[Network, Dataset], path: Path, paper: np.ndarray, noise: float) -> int:
    """Photograph twenty of the small digits on this paper; return how many of them are read right."""
    network, digits = net
    right = 0
    for k in range(20):
        ink = drawn(digits.test.X[:, k], 240, 100, 180)
        found = read_image(photograph(path, ink, paper, noise), (8, 8))
        assert found.shape == (64, 1)
        right += network.predict(found)[0] == digits.test.y[k]
    return right


@pytest.fixture(scope="module")
def clean(net: tuple[Network, Dataset], tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many are read right on white paper."""
    white = np.full((HEIGHT, WIDTH), 255.0)
    return read_right(net, tmp_path_factory.mktemp("clean") / "b.png", white, 0)


@pytest.mark.parametrize("noise", [0, 2, 4])
@pytest.mark.parametrize("light", LIGHTS)
def test_small_digits_are_read_under_any_light(
    tmp_path: Path, net: tuple[Network, Dataset], clean: int, light: str, noise: float
) -> None:
    right = read_right(net, tmp_path / "a.jpg", LIGHTS[light], noise)
    assert right >= clean - 1 and clean >= 15


@pytest.mark.parametrize("darkest", [220, 190, 170])
@pytest.mark.parametrize("noise", [0, 2, 4])
def test_mnist_digits_look_the_same_under_light_from_one_side(
    tmp_path: Path, mnist: Dataset, darkest: int, noise: float
) -> None:
    paper = np.broadcast_to(np.linspace(darkest, 220, WIDTH), (HEIGHT, WIDTH))
    alike = []
    for k in range(20):
        digit = mnist.test.X[:, k]
        path = photograph(tmp_path / "a.jpg", drawn(digit, 210, 120, 195), paper, noise)
        alike.append(np.corrcoef(digit, read_image(path, MNIST)[:, 0])[0, 1])
    assert min(alike) > 0.75 and np.mean(alike) > 0.95


def seven(top: int = 120, left: int = 200) -> np.ndarray:
    """Return ink with a 7 of 160 pixels."""
    page = Image.new("L", (WIDTH, HEIGHT))
    corners = [(left, top), (left + 110, top), (left + 40, top + 160)]
    ImageDraw.Draw(page).line(corners, fill=255, width=18, joint="curve")
    return np.asarray(page) / 255


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


def ruled(step: int, level: float, tilt: float = 0.0) -> np.ndarray:
    """Return paper under light from one side, with ruled lines."""
    return np.where((ROWS + tilt * COLUMNS) % step < 2, level, LIGHTS["side"])


# 1 at the edges, and smaller inside
INSET = np.maximum(np.abs(2 * ROWS / HEIGHT - 1), np.abs(2 * COLUMNS / WIDTH - 1))
BACKGROUNDS: dict[str, Callable[[], np.ndarray]] = {
    "faint lines": lambda: ruled(45, 150),
    "dark lines": lambda: ruled(45, 80),
    "tilted lines": lambda: ruled(45, 150, 0.02),
    "squares": lambda: np.where(COLUMNS % 40 < 2, 120, ruled(40, 120)),
    "frame": lambda: np.where(INSET // 0.025 == 37, 60, LIGHTS["side"]),
    "dark edge": lambda: np.pad(LIGHTS["side"][8:-8, 8:-8], 8, constant_values=30),
    "sheet on a table": lambda: np.pad(
        LIGHTS["side"][40:-40, 50:-50], ((40, 40), (50, 50)), constant_values=70
    ),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_what_is_no_ink_is_ignored(tmp_path: Path, background: str) -> None:
    plain = read_image(photograph(tmp_path / "a.png", seven(), np.full((HEIGHT, WIDTH), 255.0), 0), MNIST)
    path = photograph(tmp_path / "b.jpg", seven(), BACKGROUNDS[background](), 3)
    found = read_image(path, MNIST)
    assert found.shape == plain.shape == (784, 1)
    assert correlation(found, plain) > 0.8


@pytest.mark.parametrize("noise", [0, 3])
def test_several_digits_are_read_line_by_line(tmp_path: Path, noise: float) -> None:
    """A stroke for each digit, leaning more and more, so that the order shows."""
    page = Image.new("L", (WIDTH, HEIGHT))
    for k in range(6):
        x, y = 80 + 160 * (k % 3), 40 + 210 * (k // 3) + 8 * (k % 3)
        ImageDraw.Draw(page).line([(x + 12 * k, y), (x, y + 140)], fill=255, width=16)
    X = read_image(photograph(tmp_path / "a.png", np.asarray(page) / 255, LIGHTS["side"], noise), MNIST)
    assert X.shape == (784, 6)
    widths = [np.flatnonzero(x.reshape(MNIST).max(axis=0) > 60).size for x in X.T]
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_pieces_of_a_digit_stay_together(tmp_path: Path) -> None:
    """The bar of a 5 and a dot of an i do not touch the rest."""
    page = Image.new("L", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(page)
    pen.line([(200, 130), (290, 120)], fill=255, width=16)
    pen.arc((190, 160, 290, 300), 200, 500, fill=255, width=16)
    path = photograph(tmp_path / "a.png", np.asarray(page) / 255, LIGHTS["side"], 2)
    assert read_image(path, MNIST).shape == (784, 1)


def test_blank_paper_under_uneven_light_is_refused(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH)), LIGHTS["strong"], 4)
    with pytest.raises(ValueError, match=r"a\.png: blank image"):
        read_image(path, MNIST)


def test_white_ink_on_transparency_is_seen(tmp_path: Path) -> None:
    alpha = Image.fromarray((255 * seven()).astype(np.uint8))
    found = []
    for grey in (0, 255):
        page = Image.new("LA", (WIDTH, HEIGHT), grey)
        page.putalpha(alpha)
        page.save(tmp_path / "a.png")
        found.append(read_image(tmp_path / "a.png", MNIST))
    assert correlation(*found) > 0.99
