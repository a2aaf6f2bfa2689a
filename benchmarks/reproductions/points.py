"""Sets of points in the plane, and networks trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Points = tuple[np.ndarray, np.ndarray]  # (2, m), and which are of the first class (m,)


@dataclass(frozen=True)
class Fit:
    """A trained network: cost and accuracy on its training points, the length of its contours, its outputs.

    length: the mean over all levels, in sides of the square that is drawn: how much the output varies there.
    regions (CELLS, CELLS): the output, a row for each y.
    """

    cost: float
    accuracy: float
    length: float
    regions: np.ndarray
