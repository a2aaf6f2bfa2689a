"""The paper of a photographed page: its brightness under uneven light, and what stands out from it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EVEN = 1.0  # grey levels; a border that deviates no more is evenly lit
PURE = 0.3  # of the pixels; this many exactly alike are paper that was drawn or scanned in black and white
NOISIEST = 0.1  # of the picture's range of grey levels; a surface with larger deviations does not fit
GRID = 64  # blocks along the longer side, to whose medians the brightness of the paper is fitted
ROUNDS = 30  # of reweighting
CERTAIN = 4.0  # standard deviations of the noise, beyond which a pixel is ink

Grey = NDArray[np.float32]


class Contrast(NamedTuple):
    """The difference between a page and its paper.

    Attributes:
        ink: (height, width) difference from the paper in grey levels, positive for ink.
        noise: standard deviation of the paper's grey levels.
    """

    ink: Grey
    noise: float


def border_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels at the four edges."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def subtract_paper(pixels: NDArray[np.uint8]) -> Contrast:
    """Subtract the paper from grey values (height, width).

    Under uneven light, the paper is a quadratic surface, which follows light from one side and the vignette
    of a lens. If the border is even, if much of the picture is exactly as white or as black as its border, or
    if no surface fits, the paper is a single grey level, that of the border.
    """
    border = border_of(pixels).astype(np.float32)
    level = float(np.median(border))
    deviation = float(np.median(np.abs(border - level)))
    if deviation > EVEN:
        low, high = float(np.min(pixels)), float(np.max(pixels))
        pure = max(low, high, key=lambda edge: float(np.mean(np.abs(border - edge) <= EVEN)))
        if np.mean(np.abs(pixels - np.float32(pure)) <= EVEN) >= PURE:
            return _subtract_level(pixels, pure, 0)
        found = _subtract_surface(pixels)
        if found.noise <= NOISIEST * (high - low):
            return found
        deviation = 0
    return _subtract_level(pixels, level, 1.4826 * deviation)


def _subtract_level(pixels: NDArray[np.uint8], level: float, noise: float) -> Contrast:
    above = pixels - np.float32(level)
    return Contrast(-above if 2 * level > float(np.min(pixels)) + float(np.max(pixels)) else above, noise)


def _subtract_surface(pixels: NDArray[np.uint8]) -> Contrast:
    above = pixels - _fit_surface(pixels)
    some = above[:: 1 + above.shape[0] // 300, :: 1 + above.shape[1] // 300]
    noise = 1.4826 * float(np.median(np.abs(some)))
    far = float(some[np.abs(some) > CERTAIN * noise].sum())
    return Contrast(-above if far < 0 else above, noise)


def _fit_surface(pixels: NDArray[np.uint8]) -> Grey:
    """Fit a quadratic surface to the paper, by least absolute deviations: ink is a minority of the blocks."""
    height, width = pixels.shape
    side = max(1, max(height, width) // GRID)
    rows, columns = -(-height // side), -(-width // side)
    padded = np.pad(pixels, ((0, rows * side - height), (0, columns * side - width)), mode="edge")
    blocks = padded.reshape(rows, side, columns, side)[:, :: 1 + side // 8, :, :: 1 + side // 8]
    medians = np.median(blocks, axis=(1, 3)).ravel()
    y = ((np.arange(rows) + 0.5) * side - 0.5) / height * 2 - 1
    x = ((np.arange(columns) + 0.5) * side - 0.5) / width * 2 - 1
    down, across = (grid.ravel() for grid in np.meshgrid(y, x, indexing="ij"))
    terms = np.stack([np.ones_like(down), across, across**2, down, down * across, down**2])
    weight = np.ones(len(medians))
    for _ in range(ROUNDS):
        weighted = terms * weight
        factors = np.linalg.lstsq(weighted @ terms.T, weighted @ medians, rcond=None)[0]
        weight = 1 / np.maximum(np.abs(medians - factors @ terms), 0.5)
    return _evaluate(factors, height, width)


def _evaluate(factors: NDArray[np.float64], height: int, width: int) -> Grey:
    """Return f₀ + f₁x + f₂x² + y(f₃ + f₄x) + f₅y² on a grid (height, width), with x and y from −1 to 1."""
    f = factors.astype(np.float32)
    y = (np.arange(height, dtype=np.float32) / height * 2 - 1)[:, np.newaxis]
    x = np.arange(width, dtype=np.float32) / width * 2 - 1
    return y * (f[3] + f[4] * x) + (f[0] + f[1] * x + f[2] * x**2) + f[5] * y**2
