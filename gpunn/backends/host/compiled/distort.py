"""Operations of data augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.equations import Equation
from gpunn.core.pass_equations import Distort


def distort(context: Context, e: Distort) -> Operations | None:
    """x (n, m), one image a column, becomes what the pass shows."""
    chosen, places = e.augmentation, e.p.places
    if isinstance(e.x, SparseColumns) or places.dtype != np.int64 or not places.flags.c_contiguous:
        return None
    (height, width), images, dtype = chosen.shape, e.x.ones[:-1], e.x.ones.dtype
    rows, columns = np.divmod(np.arange(height * width), width)
    grid = [np.array(rows - (height - 1) / 2, dtype), np.array(columns - (width - 1) / 2, dtype)]
    smooth = [np.asarray(chosen.smoothing(side), dtype) for side in (width, height)]
    limits = [float(np.radians(chosen.rotate)), *map(float, (chosen.scale, chosen.shift, chosen.elastic))]
    to = images, images.strides[1] // images.itemsize
    return [Operation(Code.DISTORT, [height, width, images.shape[1], *limits, places, *grid, *smooth, *to])]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {Distort: distort}
