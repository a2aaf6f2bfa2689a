"""Data augmentation distorts images as SciPy's ndimage does, in the same way on every backend."""

from __future__ import annotations

import emulated
import numpy as np
import pytest
from helpers import MakeBackend
from problems import EVERYTHING, IMAGES, SHAPE
from scipy import ndimage

import gpunn
from gpunn import Augmentation, Dense, Network
from gpunn.backends import Host
from gpunn.backends.cuda import passes
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.backend import Backend
from gpunn.core.pass_equations import Advance, Distort, Gather
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
    """Number k of a position's random stream, computed from the definition in randoms.py."""
    bits = randoms.mix(randoms.mix(k // 2) ^ randoms.stream(KEY, position, layer))
    return (2 * (bits >> 16 if k % 2 else bits & 0xFFFF) + 1) / 65536 - 1


def distorted_by_scipy(a: Augmentation, image: np.ndarray, position: int) -> np.ndarray:
    """Distort the image (height, width) at this position of the epoch."""
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


def distorted(be: Backend, a: Augmentation, X: np.ndarray, first: int = 0, key: int = KEY) -> np.ndarray:
    """Distort X (n, m), whose first image has this position in the epoch; pixels are in [0, 1]."""
    m = X.shape[1]
    examples, p = be.data.examples(X, None, None), be.data.new_pass(first + m)
    be.data.start_pass(p, np.concatenate([np.zeros(first, int), np.arange(m)]), key=key)
    x = be.memory.inputs(examples, m, 0.0)
    for call in be.plan([Advance(p, first), Gather(examples, p, x, None, None), Distort(a, x, p)]):
        call()
    raw: np.ndarray = x.ones[:-1] * x.scale if isinstance(be, Host) else be.memory.download(x)
    return raw


@pytest.mark.parametrize("a", KINDS, ids=["everything", "shift", "rotate", "scale", "elastic"])
def test_images_are_distorted_as_by_scipy(backend: MakeBackend, a: Augmentation) -> None:
    got = distorted(backend("float64"), a, IMAGES, first=5)
    for j, image in enumerate(IMAGES.T):
        expected = distorted_by_scipy(a, image.reshape(SHAPE), 5 + j).ravel()
        np.testing.assert_allclose(got[:, j], expected, atol=1e-9)


@pytest.mark.parametrize("shared_bytes", [0, 48 << 10])
def test_blocks_go_from_image_to_image(shared_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory in which a block works is on the chip if there is any."""
    if not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    monkeypatch.setattr(passes, "BLOCKS_A_PROCESSOR", 1)
    monkeypatch.setattr(passes, "ROOM_BYTES", 1)
    be = Cuda(emulated.EmulatedDevice(shared_bytes=shared_bytes), "float64")
    np.testing.assert_allclose(
        distorted(be, EVERYTHING, IMAGES), distorted(Host("float64"), EVERYTHING, IMAGES), atol=1e-9
    )
    be.device.check()  # type: ignore[attr-defined]


def test_bytes_are_pixels(backend: MakeBackend) -> None:
    pixels = np.rint(255 * IMAGES).astype(np.uint8)
    got = distorted(backend("float32"), EVERYTHING, np.asfortranarray(pixels))
    np.testing.assert_allclose(got, distorted(Host("float64"), EVERYTHING, pixels / 255), atol=2e-5)


def test_without_limits_images_are_unchanged(backend: MakeBackend) -> None:
    np.testing.assert_allclose(distorted(backend("float64"), Augmentation(SHAPE), IMAGES), IMAGES, atol=1e-12)


def test_zeros_are_shifted_into_the_image(backend: MakeBackend) -> None:
    far = distorted(backend("float64"), Augmentation(SHAPE, shift=1000), IMAGES)
    assert (far == 0).any(axis=0).sum() > 20


@pytest.mark.parametrize("batch_size", [4, 23])
def test_training_uses_the_distorted_images(backend: MakeBackend, batch_size: int) -> None:
    y = RNG.integers(0, 3, 23)
    net, book = (Network(108, [Dense(5), Dense(3)], seed=1, dtype="float64") for _ in range(2))
    net.fit(IMAGES, y, epochs=2, batch_size=batch_size, augmentation=EVERYTHING, optimizer="sgd")
    for _ in range(2):
        key, order = int(book.rng.integers(1 << 32)), book.rng.permutation(np.arange(23))
        X = distorted(Host("float64"), EVERYTHING, IMAGES[:, order], key=key)
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


def test_distortions_change_by_epoch_and_repeat_by_seed() -> None:
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
