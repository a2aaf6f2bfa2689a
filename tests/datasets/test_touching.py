"""Digits that touch each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpunn.datasets.images import read_image, read_marks
from gpunn.datasets.touching import cut, is_wide


def diamonds(n: int, size: int = 80) -> np.ndarray:
    """Draw angular zeros, whose corners touch, as ink from 0 to 1."""
    wide, half = 3 * size // 4, size // 2
    page = Image.new("L", (n * (wide - 3) + 3, size))
    for k in range(n):
        x, y = k * (wide - 3), size - 1
        corners = [(x, half), (x + wide // 2, 0), (x + wide - 1, half), (x + wide // 2, y), (x, half)]
        ImageDraw.Draw(page).line(corners, fill=255, width=max(3, size // 12))
    return np.asarray(page, np.float32) / 255


@pytest.mark.parametrize("size", [40, 80, 400])
@pytest.mark.parametrize("n", [2, 3])
def test_zeros_that_touch_are_cut_apart(n: int, size: int) -> None:
    ink = diamonds(n, size)
    assert is_wide(ink)
    parts = cut(ink)
    assert len(parts) == n
    assert all(abs(part.shape[1] - 0.75 * size) <= size / 8 for part in parts)
    assert sum(part.sum() for part in parts) == pytest.approx(ink.sum(), rel=0.01)


def test_what_is_narrow_or_thick_stays_whole() -> None:
    for ink in (diamonds(1), diamonds(2).T, np.ones((20, 60), np.float32), np.ones((1, 9), np.float32)):
        parts = cut(ink)
        assert len(parts) == 1 and np.array_equal(parts[0], ink)


def test_marks_are_whole_and_in_parts(tmp_path: Path) -> None:
    page = np.zeros((200, 400), np.float32)
    page[20:100, 20:137] = diamonds(2)
    page[20:100, 250:310] = diamonds(1)
    Image.fromarray((255 - 200 * page).astype(np.uint8)).save(tmp_path / "a.png")
    wide, round_ = read_marks(tmp_path / "a.png", (28, 28))
    assert wide.wide and wide.whole.shape == (784, 1)
    assert wide.parts is not None and wide.parts.shape == (784, 2)
    assert round_.parts is None and not round_.wide
    for column in wide.parts.T:
        assert np.corrcoef(column, round_.whole[:, 0])[0, 1] > 0.9
    whole = np.concatenate([wide.whole, round_.whole], axis=1)
    assert np.array_equal(read_image(tmp_path / "a.png", (28, 28)), whole)
