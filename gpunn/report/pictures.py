"""Small pictures inside a page, as PNG data URIs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

ABOVE, BELOW = (232, 89, 12), (28, 126, 214)  # between the shades of the light and the dark page
LEVELS = 127  # shades of a weight's colour on either side of 0


def data_uri(image: Image.Image) -> str:
    """Encode a picture as a PNG data URI."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def of_example(pixels: np.ndarray) -> str:
    """Show an image (height, width) of bytes, dark on light."""
    from PIL import Image

    return data_uri(Image.fromarray(255 - pixels))


def of_matrix(confusion: list[list[int]]) -> str:
    """Show a confusion matrix (n, n): correct predictions in blue, confusions in orange."""
    counts = np.array(confusion, np.float64)
    right = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
    np.fill_diagonal(counts, 0)
    return of_weights(counts / max(np.max(counts), 1) - np.diag(right), 1)


def of_weights(w: np.ndarray, limit: float) -> str:
    """Show weights (height, width) from −limit (blue) to limit (orange); weights near 0 are transparent."""
    from PIL import Image

    level = np.rint(np.clip(w / limit, -1, 1) * LEVELS).astype(np.int16) + LEVELS
    image = Image.fromarray(level.astype(np.uint8), "P")
    shades = [
        (*(ABOVE if k > 0 else BELOW), round(255 * abs(k) / LEVELS)) for k in range(-LEVELS, LEVELS + 1)
    ]
    image.putpalette([value for shade in shades for value in shade], "RGBA")
    return data_uri(image)
