"""Folders of pictures with a subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from idx_files import refused
from PIL import Image

from gpunn.datasets import load
from gpunn.datasets.class_folders import Form, read_test_pictures

RED, BLUE, GREY = (250, 10, 10), (10, 10, 250), (90, 90, 90)


def paint(path: Path, colour: tuple[int, int, int] | int, size: tuple[int, int] = (12, 10)) -> None:
    """Save a picture of this width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path)


def test_training_and_test_folders_are_read(tmp_path: Path) -> None:
    for k in range(3):
        paint(tmp_path / f"train/cat/{k}.png", (250, k, 10))
        paint(tmp_path / f"train/dog/more/{k}.png", (k, 10, 250), (24, 20))
    paint(tmp_path / "train/dog/extra.png", BLUE)
    paint(tmp_path / "test/dog/a.png", BLUE)
    (tmp_path / "train/cat/notes.txt").write_text("not a picture")
    (tmp_path / "train/empty").mkdir()
    pictures = load(tmp_path)
    assert pictures.classes == ("cat", "dog") and pictures.image_shape == (10, 12)
    assert pictures.channels == 3 and pictures.as_is
    assert pictures.train.X.shape == (360, 7) and pictures.train.X.flags.f_contiguous
    assert pictures.train.y.tolist() == [0, 0, 0, 1, 1, 1, 1] and pictures.test.y.tolist() == [1]
    assert pictures.train.X[:3, 1].tolist() == [250, 1, 10]  # the channels of a pixel are neighbours
    assert pictures.notes == (
        "resized 3 of 7 training pictures to 10×12 pixels (--image-size N chooses N×N)",
    )
    assert "colour images of 10×12, 2 classes: cat, dog" in repr(pictures)


@pytest.mark.parametrize("inside", ["", "train"])
def test_a_fifth_of_each_class_is_held_out(tmp_path: Path, inside: str) -> None:
    for k in range(10):
        paint(tmp_path / inside / f"cat/{k}.png", k)
        paint(tmp_path / inside / f"dog/{k}.png", 100 + k)
    pictures = load(str(tmp_path))
    assert pictures.channels == 1 and pictures.train.X.shape == (120, 16)
    assert np.bincount(pictures.test.y).tolist() == [2, 2]
    everything = np.concatenate([pictures.train.X[0], pictures.test.X[0]])
    assert sorted(everything.tolist()) == [*range(10), *range(100, 110)]
    np.testing.assert_array_equal(pictures.test.X, load(tmp_path).test.X)  # the same each time
    assert "held out 4 pictures, a fifth of each class" in pictures.notes[0]


@pytest.mark.parametrize(("size", "shape"), [(None, (32, 64)), (16, (16, 16))])
def test_large_pictures_are_reduced(tmp_path: Path, size: int | None, shape: tuple[int, int]) -> None:
    for k in range(4):
        paint(tmp_path / f"{k % 2}/{k}.jpg", 60 * k, (400, 200))
    assert load(tmp_path, image_size=size).image_shape == shape


def test_a_colour_turned_grey_is_one_channel(tmp_path: Path) -> None:
    for k in range(6):
        paint(tmp_path / f"{k % 2}/{k}.png", (40 * k,) * 3)
    assert load(tmp_path).channels == 1


def test_validation_pictures_are_for_testing(tmp_path: Path) -> None:
    for k in range(4):
        paint(tmp_path / f"train/{k % 2}/{k}.png", 50 * k)
        paint(tmp_path / f"val/{k % 2}/{k}.png", 50 * k)
    assert load(tmp_path).test.y.tolist() == [0, 0, 1, 1]
    paint(tmp_path / "test/0/a.png", 7)
    paint(tmp_path / "test/1/a.png", 8)
    pictures = load(tmp_path)
    assert pictures.test.X[0].tolist() == [7, 8] and pictures.notes == (f"not used: {tmp_path / 'val'}",)


def test_pictures_are_tested_as_the_network_takes_them(tmp_path: Path) -> None:
    for k in range(5):
        paint(tmp_path / f"dog/{k}.png", RED, (30, 30))
    form = Form((4, 5), 1, ("cat", "dog"))
    found = read_test_pictures(tmp_path, form, whole=True)
    assert found.test.X.shape == (20, 5) and found.test.y.tolist() == [1] * 5
    assert read_test_pictures(tmp_path, form, whole=False).test.X.shape == (20, 1)
    paint(tmp_path / "cow/a.png", RED)
    refused(ValueError, lambda: read_test_pictures(tmp_path, form, whole=True), tmp_path, "'cow'", "cat, dog")


def test_faults_are_told_in_one_line(tmp_path: Path) -> None:
    paint(tmp_path / "one/cat/a.png", RED)
    refused(ValueError, lambda: load(tmp_path / "one"), tmp_path / "one", "only the class 'cat'")
    paint(tmp_path / "one/dog/a.png", BLUE)
    (tmp_path / "one/dog/b.png").write_bytes(b"damaged")
    refused(ValueError, lambda: load(tmp_path / "one"), tmp_path / "one/dog/b.png", "not an image")
    paint(tmp_path / "two/train/cat/a.png", RED)
    paint(tmp_path / "two/test/cow/a.png", RED)
    refused(ValueError, lambda: load(tmp_path / "two"), "cow", "no training pictures of this class")
    refused(ValueError, lambda: load("digits", image_size=8), "image_size", "digits")
