"""θ: every weight and bias in one flat buffer, and views of it by layer.

Layer l's block holds w[l] (n_l, n_{l-1}) and then b[l] (n_l, 1), column-major, so that [w b] is one
(n_l, n_{l-1} + 1) matrix. A batch-normalised layer has four more columns: gamma, beta, and the running
mean and variance, which no optimizer moves because their gradient is zero. Blocks start on 256-byte
boundaries, and the padding between them stays zero. Gradients, velocities and moments use this layout, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gpunn.functions.calls import zeros

ALIGNMENT = 256
NORM_COLUMNS = ("gamma", "beta", "mean", "variance")


def numpy_view(flat: np.ndarray, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """View flat[offset:…] as a column-major array of that shape, without a copy."""
    return flat[offset : offset + math.prod(shape)].reshape(shape, order="F")


@dataclass(frozen=True)
class Layout:
    """The places of all layers' parameters in one flat buffer.

    Attributes:
        sizes: (n_0, …, n_L).
        normed: for each layer 1…L, whether it is batch-normalised.
    """

    sizes: tuple[int, ...]
    normed: tuple[bool, ...]

    def blocks(self, itemsize: int) -> tuple[list[int], int]:
        """Return the start of each layer's block and the total length, both in elements."""
        step = ALIGNMENT // itemsize
        starts, end = [], 0
        for (n_in, n_out), norm in zip(pairwise(self.sizes), self.normed, strict=True):
            starts.append(end)
            columns = n_in + 1 + len(NORM_COLUMNS) * norm
            end += -(-n_out * columns // step) * step
        return starts, end

    def zeros(self, dtype: Any) -> np.ndarray:
        """Return a flat buffer of zeros in this layout."""
        return zeros(self.blocks(np.dtype(dtype).itemsize)[1], np.dtype(dtype))


class Parameters:
    """Views into a flat buffer. Layers count from 1 as in the book: w[l], b[l], wb[l] = [w b].

    Args:
        layout: where each layer's parameters lie.
        flat: the buffer.
        itemsize: bytes of an element.
        view: view(flat, offset, shape) returns a view of the buffer.
        name: the letter by which equations print them: θ, or g, v, m for a gradient, velocity or moment.

    Attributes:
        norm: for each layer its `gamma`, `beta`, `mean` and `variance`, (n_l, 1) each, or None.
        w_flat, wb_flat, norm_flat: w[l], [w b][l] and norm[l] as vectors, for elementwise equations.
    """

    def __init__(
        self,
        layout: Layout,
        flat: Any,
        itemsize: int,
        view: Callable[[Any, int, tuple[int, ...]], Any] = numpy_view,
        name: str = "θ",
    ) -> None:
        self.layout, self.flat, self.name = layout, flat, name
        self.w: list[Any] = [None]
        self.b: list[Any] = [None]
        self.wb: list[Any] = [None]
        self.norm: list[dict[str, Any] | None] = [None]
        self.w_flat: list[Any] = [None]
        self.wb_flat: list[Any] = [None]
        self.norm_flat: list[Any] = [None]
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


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the parameters as one vector.

    Attributes:
        of: the parameters.
        kind: "w", "wb" or "norm" of one layer, or "all" for the whole buffer.
        layer: l, or 0 for the whole buffer.
    """

    of: Parameters
    kind: str = "all"
    layer: int = 0

    @property
    def flat(self) -> Any:
        """The vector itself."""
        if self.kind == "all":
            return self.of.flat
        return getattr(self.of, f"{self.kind}_flat")[self.layer]

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.flat.shape
        return shape

    def __str__(self) -> str:
        if self.kind == "all":
            return self.of.name
        own = {"w": "w", "wb": "[w b]", "norm": "[γ β]"}[self.kind]
        return f"{own if self.of.name == 'θ' else self.of.name}[{self.layer}]"
