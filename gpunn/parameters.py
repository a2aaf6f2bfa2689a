"""θ: every weight and bias in one flat buffer, and their views by layer.

Layer l's block holds w[l] (n_l, n_{l-1}) and then b[l] (n_l, 1), column-major, so that [w b] is one
(n_l, n_{l-1} + 1) matrix. Blocks start on 256-byte boundaries; the padding between them stays zero.
Gradients, velocities and moments have the same layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

ALIGNMENT = 256


def numpy_view(flat: np.ndarray, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """flat[offset:…] as a column-major array of that shape, without a copy."""
    size = int(np.prod(shape))
    return flat[offset : offset + size].reshape(shape, order="F")


def offsets(sizes: Sequence[int], itemsize: int) -> tuple[list[int], int]:
    """Where each layer's block begins, and the length of the whole, in elements."""
    step = ALIGNMENT // itemsize
    starts, end = [], 0
    for n_in, n_out in pairwise(sizes):
        starts.append(end)
        end += -(-n_out * (n_in + 1) // step) * step
    return starts, end


class Parameters:
    """Views into a flat buffer. Layers count from 1 as in the book: w[l], b[l], wb[l] = [w b].

    sizes: (n_0, …, n_L). flat: a one-dimensional array of `length(sizes, itemsize)` elements.
    view(flat, offset, shape): how its kind of array is viewed.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        flat: Any,
        itemsize: int,
        view: Callable[[Any, int, tuple[int, ...]], Any] = numpy_view,
    ) -> None:
        self.flat = flat
        self.w: list[Any] = [None]
        self.b: list[Any] = [None]
        self.wb: list[Any] = [None]
        self.w_flat: list[Any] = [None]  # w[l] as a vector, for whoever treats its elements alike
        self.block: list[Any] = [None]  # wb[l] as a vector, likewise
        starts, _ = offsets(sizes, itemsize)
        for start, (n_in, n_out) in zip(starts, pairwise(sizes), strict=True):
            self.w.append(view(flat, start, (n_out, n_in)))
            self.b.append(view(flat, start + n_out * n_in, (n_out, 1)))
            self.wb.append(view(flat, start, (n_out, n_in + 1)))
            self.w_flat.append(view(flat, start, (n_out * n_in,)))
            self.block.append(view(flat, start, (n_out * (n_in + 1),)))


def length(sizes: Sequence[int], itemsize: int) -> int:
    """How many elements θ has, padding included."""
    return offsets(sizes, itemsize)[1]
