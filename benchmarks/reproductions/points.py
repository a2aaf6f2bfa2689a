"""Points in the plane and networks trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Points = tuple[np.ndarray, np.ndarray]  # points (2, m), and 1 for points of the first class (m,)


@dataclass(frozen=True)
class Fit:
    """The results of a trained network.

    Attributes:
        cost, accuracy: on the training points.
        length: mean contour length of the output over all levels, in sides of the drawn square.
        regions: the output over the square (CELLS, CELLS), with a row for each y.
    """

    cost: float
    accuracy: float
    length: float
    regions: np.ndarray
