"""Data augmentation: what is shown is what SciPy's ndimage makes of it, the same on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import MakeBackend
from problems import EVERYTHING, IMAGES, SHAPE
from scipy import ndimage

import gpunn
from gpunn import Augmentation, Dense, Network
from gpunn.backends import Host
from gpunn.core.backend import Backend
from gpunn.functions import randoms
from gpunn.functions.augmentation import AFFINE, NOISE

RNG = np.random.default_rng(0)
KEY = 12345
KINDS = [
    EVERYTHING,
    Augmentation(SHAPE, shift=3),
    Augmentation(SHAPE, rotate=90),
    Augmentation(SHAPE, scale=0.5),
    Augmentation(SHAPE, elastic=20, smoothness=1.5),
]


def number(position: int, layer: int, k: int) -> float:
    """Number k of a position's stream, from the words in randoms.py."""
    bits = randoms.mix(randoms.mix(k // 2) ^ randoms.stream(KEY, position, layer))
    return (2 * (bits >> 16 if k % 2 else bits & 0xFFFF) + 1) / 65536 - 1


def shown_by_scipy(a: Augmentation, image: np.ndarray, position: int) -> np.ndarray:
    """One image (height, width) as it is shown there."""
    angle = np.radians(a.rotate) * number(position, AFFINE, 0)
    grow = [1 + a.scale * number(position, AFFINE, k) for k in (1, 2)]
    shift = [a.shift * number(position, AFFINE, k) for k in (3, 4)]
    centre = [(side - 1) / 2 for side in a.shape]
    noise = np.array([[number(position, NOISE, 2 * i + axis) for i in range(image.size)] for axis in (0, 1)])
    field = [
        a.elastic * ndimage.gaussian_filter(one.reshape(a.shape), a.smoothness, mode="constant", truncate=10)
        for one in noise
    ]
    sources = np.empty((2, *a.shape))
    for row in range(a.shape[0]):
        for column in range(a.shape[1]):
            dy, dx = row - centre[0] - shift[0], column - centre[1] - shift[1]
            y = centre[0] + (np.cos(angle) * dy + np.sin(angle) * dx) / grow[0]
            x = centre[1] + (np.cos(angle) * dx - np.sin(angle) * dy) / grow[1]
            sources[:, row, column] = y + field[0][row, column], x + field[1][row, column]
    return ndimage.map_coordinates(image, sources, order=1, mode="grid-constant")


def shown(be: Backend, a: Augmentation, X: np.ndarray, first: int = 0, key: int = KEY) -> np.ndarray:
    """X (n, m) as shown from that position of a pass on; pixels as numbers in [0, 1]."""
    m = X.shape[1]
    examples, p = be.examples(X, None, None), be.new_pass(first + m)
    be.begin(p, np.concatenate([np.zeros(first, int), np.arange(m)]), key=key)
    x = be.inputs(examples, m, 0.0)
    calls = be.advance(p, first) + be.gather(examples, p, x=x, y=None, labels=None) + be.distort(a, x, p)
    for call in calls:
        call()
    raw: np.ndarray = x.ones[:-1] * x.scale if isinstance(be, Host) else be.download(x)
    return raw


@pytest.mark.parametrize("a", KINDS, ids=["everything", "shift", "rotate", "scale", "elastic"])
def test_images_are_shown_as_scipy_would(backend: MakeBackend, a: Augmentation) -> None:
    got = shown(backend("float64"), a, IMAGES, first=5)
    for j, image in enumerate(IMAGES.T):
        expected = shown_by_scipy(a, image.reshape(SHAPE), 5 + j).ravel()
        np.testing.assert_allclose(got[:, j], expected, atol=1e-9)


def test_bytes_are_pixels(backend: MakeBackend) -> None:
    pixels = np.rint(255 * IMAGES).astype(np.uint8)
    got = shown(backend("float32"), EVERYTHING, np.asfortranarray(pixels))
    np.testing.assert_allclose(got, shown(Host("float64"), EVERYTHING, pixels / 255), atol=2e-5)


def test_nothing_asked_is_nothing_changed(backend: MakeBackend) -> None:
    np.testing.assert_allclose(shown(backend("float64"), Augmentation(SHAPE), IMAGES), IMAGES, atol=1e-12)


def test_what_leaves_the_image_is_gone_and_zeros_come_in(backend: MakeBackend) -> None:
    far = shown(backend("float64"), Augmentation(SHAPE, shift=1000), IMAGES)
    assert (far == 0).any(axis=0).sum() > 20


@pytest.mark.parametrize("batch_size", [4, 23])
def test_training_is_on_the_images_as_shown(backend: MakeBackend, batch_size: int) -> None:
    y = RNG.integers(0, 3, 23)
    net, book = (Network(108, [Dense(5), Dense(3)], seed=1, dtype="float64") for _ in range(2))
    net.fit(IMAGES, y, epochs=2, batch_size=batch_size, augmentation=EVERYTHING)
    for _ in range(2):
        key, order = int(book.rng.integers(1 << 32)), book.rng.permutation(np.arange(23))
        X = shown(Host("float64"), EVERYTHING, IMAGES[:, order], key=key)
        for start in range(0, 23, batch_size):
            batch = slice(start, start + batch_size)
            for (w, b), (dw, db) in zip(
                zip(book.weights, book.biases, strict=True),
                book.gradients(X[:, batch], y[order][batch]),
                strict=True,
            ):
                w -= 0.1 * dw
                b -= 0.1 * db
    for mine, theirs in zip(net.weights + net.biases, book.weights + book.biases, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_every_epoch_shows_others_and_a_seed_the_same() -> None:
    y = np.arange(23) % 3
    losses = []
    for seed in (1, 1, 2):
        net = Network(108, [Dense(3)], seed=seed)
        net.fit(IMAGES, y, epochs=1, augmentation=EVERYTHING, optimizer=gpunn.SGD(1e-12))
        losses += [record.loss for record in net.fit(IMAGES, y, epochs=2, augmentation=EVERYTHING)]
    assert losses[:2] == losses[2:4]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (3,)}, r"\(height, width\), not \(3,\)"),
        ({"shape": SHAPE, "shift": -1}, "shift must be 0 or more, not -1"),
        ({"shape": SHAPE, "rotate": float("nan")}, "rotate must be 0 or more"),
        ({"shape": SHAPE, "scale": 1}, r"scale must be in \[0, 1\), not 1"),
        ({"shape": SHAPE, "smoothness": 0}, "smoothness must be above 0"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 9×12 pixels, but the network has 107 inputs"):
        Network([107, 3]).fit(IMAGES[1:], np.arange(23) % 3, augmentation=EVERYTHING)
