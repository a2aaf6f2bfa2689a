"""`gpunn predict` with pictures: several digits, folders, and what the network sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reporting import RunCommand

from gpunn import datasets
from gpunn.cli import pictures

DIGITS = datasets.load("digits")


def page(*columns: int) -> Image.Image:
    """Draw test digits side by side, dark on light."""
    sheet = np.full((160, 160 * len(columns)), 255, np.uint8)
    for k, column in enumerate(columns):
        digit = Image.fromarray(255 - DIGITS.test.X[:, column].reshape(8, 8)).resize((96, 96))
        sheet[32:128, 160 * k + 32 : 160 * k + 128] = np.asarray(digit)
    return Image.fromarray(sheet)


def predictions(gpunn_: RunCommand, *arguments: object, code: int = 0) -> list[dict]:
    found, out, _ = gpunn_("predict", *arguments, "--json")
    assert found == code
    return json.loads(out)["predictions"]


def test_several_digits_on_a_picture_are_several_lines(gpunn_: RunCommand, model: Path) -> None:
    for name, columns in {"one": [0], "two": [1], "both": [0, 1]}.items():
        page(*columns).save(f"{name}.png")
    both = predictions(gpunn_, model, "both.png")
    alone = predictions(gpunn_, model, "one.png", "two.png")
    assert [p["label"] for p in both] == [p["label"] for p in alone]
    assert [p["column"] for p in both] == [0, 1]


def test_the_pictures_of_a_folder_are_read_and_a_bad_one_is_named(gpunn_: RunCommand, model: Path) -> None:
    Path("photos").mkdir()
    for name in ("b.PNG", "a.jpg"):
        page(0).save(f"photos/{name}")
    Path("photos/notes.txt").write_text("not a picture")
    Path("photos/aa.png").write_bytes(b"damaged")
    code, out, err = gpunn_("predict", model, "photos")
    assert code == 2
    assert [line.split()[0] for line in out.splitlines()] == ["photos/a.jpg", "photos/b.PNG"]
    assert err.count("\n") == 1 and "photos/aa.png: not an image" in err


def test_a_folder_without_pictures_is_refused(gpunn_: RunCommand, model: Path) -> None:
    Path("empty").mkdir()
    code, out, err = gpunn_("predict", model, "empty")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and "empty" in err


def test_show_writes_what_the_network_sees_and_replaces_nothing(gpunn_: RunCommand, model: Path) -> None:
    Path("photos").mkdir()
    page(0, 1).save("photos/a.png")
    Path("photos/a.png.seen.png").write_bytes(b"mine")
    for _ in range(2):  # the second call replaces the picture of the first
        (first, second) = predictions(gpunn_, model, "photos", "--show")
        assert first["seen"] == second["seen"] == "photos/a.png-2.seen.png"
    assert Path("photos/a.png.seen.png").read_bytes() == b"mine"
    assert len(list(Path("photos").iterdir())) == 3
    with Image.open("photos/a.png-2.seen.png") as seen:
        assert seen.size == (448, 224)
    out = gpunn_("predict", model, "photos/a.png", "--show")[1]
    assert out.splitlines()[0].endswith("seen as photos/a.png-2.seen.png")


def test_arrays_are_not_shown(gpunn_: RunCommand, model: Path) -> None:
    np.save("x.npy", DIGITS.test.X[:, :2])
    assert all("seen" not in p for p in predictions(gpunn_, model, "x.npy", "--show"))
    assert [path.name for path in Path.cwd().glob("*.png")] == []


@pytest.mark.parametrize(("sure", "n", "words"), [(0.0, 2, "2 digits that touch"), (1.0, 1, "one digit; if")])
def test_digits_that_touch_are_cut_if_the_network_is_sure(
    gpunn_: RunCommand, model: Path, monkeypatch: pytest.MonkeyPatch, sure: float, n: int, words: str
) -> None:
    sheet = np.asarray(page(0, 0))
    ink = np.flatnonzero((sheet < 200).any(axis=0))
    gap = np.flatnonzero(np.diff(ink) > 1)[0]
    Image.fromarray(np.delete(sheet, range(ink[gap] - 2, ink[gap + 1] + 2), axis=1)).save("touch.png")
    monkeypatch.setattr(pictures, "SURE", sure)
    code, out, err = gpunn_("predict", model, "touch.png")
    assert (code, out.count("\n")) == (0, n)
    assert err.startswith(f"gpunn: touch.png: a mark as wide as several digits was read as {words}")
    assert err.count("\n") == 1
