"""Digits that touch each other: cut a mark that is too wide for a digit along the thinnest seam of ink."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gpunn.datasets.paper import Grey

WIDE = 1.2  # times its height; 96 % of MNIST's digits are narrower
INK = 0.25  # of the darkest ink
SIDE = 60  # pixels of height at which seams are sought
THIN, PART = 1.6, 0.4  # strokes, and of the mark's height; a seam crosses no more ink
TALL, NARROW = 0.6, 0.12  # of the mark's height; each part is at least this tall and this wide
LEAN = 0.02  # pixels of ink that a step to the side is worth
USUAL = 0.8  # of its height; the width of a digit
ASIDE = 1.0  # strokes that a cut is worth one height away from where usual digits would meet

Mask = NDArray[np.bool_]


def is_wide(ink: Grey) -> bool:
    """Whether the ink (height, width) of a mark is as wide as several digits."""
    return ink.shape[1] >= WIDE * ink.shape[0]


def cut(ink: Grey) -> list[Grey]:
    """Cut the ink (height, width) of a mark into the digits it may be of, from left to right.

    Returns only the mark itself if it is not wide, or if no seam through it is thin. About half of all flat
    2s and 5s have a thin seam as well, so whoever reads the digits has to judge.
    """
    seam = _seam(ink > INK * np.max(ink)) if is_wide(ink) else None
    if seam is None:
        return [ink]
    left = np.arange(ink.shape[1]) < seam[:, None]
    return [part for side in (left, ~left) for part in cut(_cropped(np.where(side, ink, 0)))]


def _cropped(ink: Grey) -> Grey:
    return ink[_box(ink > INK * np.max(ink))]


def _box(mask: Mask) -> tuple[slice, slice]:
    """Return the bounding box of a mask; an empty one if the mask is."""
    found: list[tuple[slice, slice]] = ndimage.find_objects(mask.astype(np.int8))
    return found[0] if found else (slice(0), slice(0))


def _seam(mask: Mask) -> NDArray[np.intp] | None:
    """Return the column (height,) at which to cut each row; None without a thin seam."""
    step = max(1, len(mask) // SIDE)
    height, width = (-(-side // step) for side in mask.shape)
    padded = np.pad(mask, [(0, n * step - side) for n, side in zip((height, width), mask.shape, strict=True)])
    small = padded.reshape(height, step, width, step).max(axis=(1, 3))
    depths = ndimage.distance_transform_edt(np.pad(small, 1))
    stroke = 2 * float(np.percentile(depths[depths > 0], 90))
    meets = np.linspace(0, width, max(2, round(width / (USUAL * height))) + 1)[1:-1]
    best, seam = np.inf, None
    for crossed, columns in _seams(small):
        if crossed <= min(THIN * stroke, PART * height) and _are_digits(small, columns):
            score = crossed / stroke + ASIDE * np.abs(meets - columns.mean()).min() / height
            if score < best:
                best, seam = score, columns
    return None if seam is None else np.repeat((seam + 1) * step, step)[: len(mask)]


def _seams(mask: Mask) -> Iterator[tuple[float, NDArray[np.intp]]]:
    """Yield for each column of the last row the seam that ends there and crosses the least ink.

    A seam goes from the first row to the last, at most one column to the side in a row. Each comes with the
    ink that it crosses, and the column in each row.
    """
    costs = mask[0].astype(float)
    steps = np.zeros(mask.shape, np.intp)
    for row in range(1, len(mask)):
        beside = np.pad(costs, 1, constant_values=np.inf)
        ways = np.stack([costs, beside[:-2] + LEAN, beside[2:] + LEAN])
        chosen = ways.argmin(axis=0)
        steps[row] = np.array([0, -1, 1])[chosen]
        costs = ways.min(axis=0) + mask[row]
    for end, cost in enumerate(costs):
        columns, at = np.empty(len(mask), np.intp), end
        for row in range(len(mask) - 1, -1, -1):
            columns[row] = at
            at += int(steps[row, at])
        yield float(cost), columns


def _are_digits(mask: Mask, columns: NDArray[np.intp]) -> bool:
    """Whether the parts on both sides of a seam are large enough for digits."""
    left = np.arange(mask.shape[1]) <= columns[:, None]
    sides = [mask[_box(part)].shape for part in (mask & left, mask & ~left)]
    return all(height >= TALL * len(mask) and width >= NARROW * len(mask) for height, width in sides)
