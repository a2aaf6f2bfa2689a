"""The digits on a page: connected ink, without dust, frames and ruled lines, grouped in reading order."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gpunn.datasets.paper import CERTAIN, Grey, border_of, subtract_paper

MIN_CONTRAST = 16  # of 255; an image with less contrast is blank
FAINT = 0.2  # of the darkest ink; fainter pixels do not extend a digit
DUST = 0.12  # of the tallest piece of ink; smaller pieces are ignored
PIECE = 0.5  # of the tallest piece of ink; smaller pieces belong to the digit beside them
NEAR = 0.25  # of the tallest piece of ink; the pieces of one digit are no further apart
RULED = 0.04  # of the picture's side; a thicker bar is no ruled line
FULL = 0.97  # of the edge of a sheet is paper
LINES = (
    2,
    3,
)  # ruled lines at least, on a photograph and on an even picture, where strokes may reach the edge
SPAN = 0.7  # of the picture's sides; a frame is larger
SHEET = (0.5, 0.8)  # part of the picture that a sheet of paper covers, and part of its box that it fills

Mask = NDArray[np.bool_]


class Box(NamedTuple):
    """A bounding box of rows top…bottom − 1 and columns left…right − 1, and the pieces of ink in it."""

    top: int
    bottom: int
    left: int
    right: int
    pieces: tuple[int, ...]

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def side(self) -> int:
        return max(self.height, self.width)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def join(self, other: "Box") -> "Box":
        """Return the bounding box of both."""
        return Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
            self.pieces + other.pieces,
        )

    def distance(self, other: "Box") -> int:
        """Return the larger of the gaps between the rows and between the columns; 0 if the boxes overlap."""
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        across = max(self.left, other.left) - min(self.right, other.right)
        return max(down, across, 0)

    def surrounds(self, other: "Box") -> bool:
        """Whether the other box lies inside this one."""
        return (
            self.top < other.top
            and other.bottom < self.bottom
            and self.left < other.left
            and other.right < self.right
        )


def find_digits(pixels: NDArray[np.uint8], depth: int = 2) -> list[Grey]:
    """Return the ink of each digit on a page (height, width), cropped, from 0 to 1, in reading order.

    depth: how many times to look for a sheet of paper on a background and then on the sheet only.
    """
    ink, noise = subtract_paper(pixels)
    if noise > 0:
        ink = ndimage.gaussian_filter(ink, max(0.5, min(ink.shape) / 500))
    ink = _without_lines(ink, CERTAIN * noise or FAINT * float(np.max(ink)), LINES[noise == 0])
    brightest = float(np.max(ink))
    if brightest < MIN_CONTRAST:
        return []
    mask = ink > max(FAINT * brightest, CERTAIN * noise)
    labels, boxes = _pieces(mask)
    sheet = _sheet(mask, labels, boxes) if depth else None
    if sheet and (inside := find_digits(pixels[sheet], depth - 1)):
        return inside
    boxes = _without_frames(boxes, labels)
    if noise > 0:
        boxes = _without_dust(boxes, ink.shape)
    if not boxes:
        return []
    floor = FAINT * brightest / 2 if noise > 0 else 0.0
    return [_crop(ink, labels, box, floor) for box in _in_reading_order(_digits(boxes))]


def _crop(ink: Grey, labels: NDArray[np.int32], box: Box, floor: float) -> Grey:
    """Crop to a digit, without the ink of others, and scale it to 0…1 between the floor and its brightest."""
    crop, pieces = ink[box.slices], labels[box.slices]
    own = np.isin(pieces, box.pieces)
    brightest = float(np.max(crop[own]))
    kept = own | (pieces == 0)
    if floor > 0:
        kept &= ndimage.binary_dilation(own, iterations=2)
    scaled = np.clip((crop - floor) / (brightest - floor), 0, 1)
    return np.where(kept, scaled, 0).astype(np.float32)


# lines, sheets and frames


def _without_lines(ink: Grey, threshold: float, fewest: int) -> Grey:
    """Remove ruled lines, level or slightly tilted, if at least `fewest` of them reach both edges.

    A grey opening across the lines removes whatever is thinner than they are, and keeps thicker strokes.
    """
    for axis in (0, 1):
        strips = _edges(ink > threshold, 1 - axis)
        runs = [ndimage.find_objects(ndimage.label(strip)[0]) for strip in strips]
        widths = [[run.stop - run.start for (run,) in found] for found in runs]
        thin = [[width for width in found if width <= RULED * ink.shape[axis]] for found in widths]
        if min(map(len, thin)) >= fewest:
            across = max(map(max, thin)) + 2
            ink = ndimage.grey_opening(ink, (across, 1) if axis == 0 else (1, across), mode="constant")
    return ink


def _edges(mask: Mask, axis: int) -> tuple[Mask, Mask]:
    """Return where ink reaches the first and the last columns (axis 1) or rows (axis 0).

    Ink that is missing a little further inside is ignored: it may be a line along the edge.
    """
    inner = 1 + mask.shape[axis] // 40
    first, second, last, before = (mask.take([k], axis).ravel() for k in (0, inner, -1, -1 - inner))
    return np.logical_and(first, second), np.logical_and(last, before)


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], list[Box]]:
    """Label the connected pieces of ink 1, 2, …, diagonal neighbours included, and return their boxes."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    found = enumerate(ndimage.find_objects(labels), start=1)
    return labels, [Box(y.start, y.stop, x.start, x.stop, (k,)) for k, (y, x) in found]


def _sheet(mask: Mask, labels: NDArray[np.int32], boxes: list[Box]) -> tuple[slice, slice] | None:
    """Return the inside of a sheet of paper on a darker or lighter background, or of a frame's edge."""
    covered, filled = SHEET
    for box in boxes:
        area = box.height * box.width
        if area < covered * mask.size or min(box.height, box.width) < 8:
            continue
        y, x = box.height // 30 + 1, box.width // 30 + 1
        inside = slice(box.top + y, box.bottom - y), slice(box.left + x, box.right - x)
        own = labels == box.pieces[0]
        if np.mean(own[box.slices]) >= filled and np.mean(border_of(own[inside])) >= FULL:
            return inside
    return None


def _without_frames(boxes: list[Box], labels: NDArray[np.int32]) -> list[Box]:
    """Drop pieces that frame others."""
    shape = labels.shape
    frames = [
        box
        for box in boxes
        if min(box.height / shape[0], box.width / shape[1]) > SPAN
        and np.mean(labels[box.slices] == box.pieces[0]) < 0.3
        and any(box.surrounds(other) and other.side > 0.2 * min(shape) for other in boxes)
    ]
    return [box for box in boxes if box not in frames]


def _without_dust(boxes: list[Box], shape: tuple[int, ...]) -> list[Box]:
    """Drop pieces that are tiny beside the others or on the page."""
    smallest = max(DUST * max((box.side for box in boxes), default=0), 0.01 * max(shape))
    return [box for box in boxes if box.side >= smallest]


# digits


def _digits(boxes: list[Box]) -> list[Box]:
    """Join the pieces of each digit: small pieces to the nearest one, and pieces above one another."""
    tallest = max(box.height for box in boxes)
    boxes = sorted(boxes, key=lambda box: -box.height)
    digits: list[Box] = []
    for box in boxes:
        nearest = min(digits, key=box.distance, default=None)
        if nearest and box.distance(nearest) <= NEAR * tallest and _belongs(box, nearest, tallest):
            digits[digits.index(nearest)] = nearest.join(box)
        elif not digits or box.side >= PIECE / 2 * tallest:
            digits.append(box)
    return digits


def _belongs(box: Box, digit: Box, tallest: int) -> bool:
    """Whether a piece near a digit is part of it: small, or mostly above, below or inside it."""
    shared = min(box.right, digit.right) - max(box.left, digit.left)
    return box.height < PIECE * tallest or shared > 0.5 * min(box.width, digit.width)


def _in_reading_order(digits: list[Box]) -> list[Box]:
    """Sort digits by lines from top to bottom, and each line from left to right."""
    lines: list[list[Box]] = []
    for digit in sorted(digits, key=lambda box: box.top + box.bottom):
        middle = (digit.top + digit.bottom) / 2
        if lines and middle < max(box.bottom for box in lines[-1][:1]):
            lines[-1].append(digit)
        else:
            lines.append([digit])
    return [digit for line in lines for digit in sorted(line, key=lambda box: box.left)]
