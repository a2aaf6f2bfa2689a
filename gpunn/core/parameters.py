"""θ: every weight and bias in one flat buffer, and their views by layer.

Layer l's block holds w[l] (n_l, n_{l-1}) and then b[l] (n_l, 1), column-major, so that [w b] is one
(n_l, n_{l-1} + 1) matrix. A batch-normalised layer has four more columns: gamma, beta, and the running
mean and variance, which no optimizer moves since their gradient is zero. Blocks start on 256-byte
boundaries; the padding between them stays zero. Gradients, velocities and moments have the same layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

ALIGNMENT = 256
NORM_COLUMNS = ("gamma", "beta", "mean", "variance")


def numpy_view(flat: np.ndarray, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """flat[offset:…] as a column-major array of that shape, without a copy."""
    size = int(np.prod(shape))
    return flat[offset : offset + size].reshape(shape, order="F")


@dataclass(frozen=True)
class Layout:
    """sizes: (n_0, …, n_L). normed: whether layer l = 1…L is batch-normalised."""

    sizes: tuple[int, ...]
    normed: tuple[bool, ...]

    def blocks(self, itemsize: int) -> tuple[list[int], int]:
        """Where each layer's block begins, and the length of the whole, in elements."""
        step = ALIGNMENT // itemsize
        starts, end = [], 0
        for (n_in, n_out), norm in zip(pairwise(self.sizes), self.normed, strict=True):
            starts.append(end)
            columns = n_in + 1 + len(NORM_COLUMNS) * norm
            end += -(-n_out * columns // step) * step
        return starts, end

    def zeros(self, dtype: Any) -> np.ndarray:
        """A flat buffer of that layout."""
        return np.zeros(self.blocks(np.dtype(dtype).itemsize)[1], dtype)


class Parameters:
    """Views into a flat buffer. Layers count from 1 as in the book: w[l], b[l], wb[l] = [w b].

    view(flat, offset, shape): how its kind of array is viewed. norm[l] has `gamma`, `beta`, `mean` and
    `variance`, each (n_l, 1), or is None.
    """

    def __init__(
        self,
        layout: Layout,
        flat: Any,
        itemsize: int,
        view: Callable[[Any, int, tuple[int, ...]], Any] = numpy_view,
    ) -> None:
        self.layout, self.flat = layout, flat
        self.w: list[Any] = [None]
        self.b: list[Any] = [None]
        self.wb: list[Any] = [None]
        self.norm: list[dict[str, Any] | None] = [None]
        self.w_flat: list[Any] = [None]  # w[l] as a vector, for whoever treats its elements alike
        self.wb_flat: list[Any] = [None]  # [w b], likewise
        self.norm_flat: list[Any] = [None]  # and what norm[l] holds
        starts, _ = layout.blocks(itemsize)
        for start, (n_in, n), norm in zip(starts, pairwise(layout.sizes), layout.normed, strict=True):
            columns = {name: start + n * (n_in + 1 + k) for k, name in enumerate(NORM_COLUMNS)}
            self.w.append(view(flat, start, (n, n_in)))
            self.b.append(view(flat, start + n * n_in, (n, 1)))
            self.wb.append(view(flat, start, (n, n_in + 1)))
            self.norm.append({name: view(flat, at, (n, 1)) for name, at in columns.items()} if norm else None)
            self.w_flat.append(view(flat, start, (n * n_in,)))
            self.wb_flat.append(view(flat, start, (n * (n_in + 1),)))
            after = start + n * (n_in + 1)
            self.norm_flat.append(view(flat, after, (n * len(NORM_COLUMNS),)) if norm else None)
