"""What the CPU backend keeps: NumPy arrays, column-major."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.core.backend import UINT8_SCALE, Examples, Pass
from gpunn.core.inputs import dense, is_sparse
from gpunn.core.parameters import Layout, Parameters
from gpunn.functions.calls import Array


@dataclass
class Columns:
    """a[l] twice: `plain` (n, m) contiguous, and `ones` (n + 1, m) with the row of ones beneath.

    The inputs have only the second, the outputs only the first. Bytes, and what dropout keeps, lie here as
    they are; the products that read them scale them, and the row holds 1/scale.
    """

    plain: Any
    ones: Any
    scale: float = 1


@dataclass
class Norm:
    """ẑ (n, m) and γ/√(σ² + ε) (n, 1) of a batch normalisation; by the mini-batch, or with fixed μ and σ²."""

    z: Array
    gain: Array
    by_batch: bool


class Storage:
    """Arrays in float32 or float64."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._scratches: dict[tuple[int, ...], Array] = {}

    def upload(self, array: Array) -> Array:
        return np.array(array, self.dtype, order="F")

    def download(self, array: Array) -> Array:
        return array

    def matrix(self, n: int, m: int) -> Array:
        return np.zeros((n, m), self.dtype, order="F")

    operand = matrix

    def inputs(self, examples: Examples, m: int, dropout: float) -> Columns:
        scale = (UINT8_SCALE if examples.X.dtype == np.uint8 else 1) / (1 - dropout)
        return Columns(None, self._with_ones(examples.X.shape[0], m, scale), scale)

    def hidden(self, n: int, m: int, over: Array, dropout: float) -> Columns:
        scale = 1 / (1 - dropout)
        return Columns(over, self._with_ones(n, m, scale), scale)

    def _with_ones(self, n: int, m: int, scale: float) -> Array:
        return np.full((n + 1, m), 1 / scale, self.dtype, order="F")

    def outputs(self, n: int, m: int, over: Array) -> Columns:
        return Columns(over, None)

    def columns(self, buffer: Any, start: int, stop: int) -> Any:
        if isinstance(buffer, Columns):
            plain, ones = (self.columns(part, start, stop) for part in (buffer.plain, buffer.ones))
            return Columns(plain, ones, buffer.scale)
        return None if buffer is None else buffer[:, start:stop]

    def label_buffer(self, m: int) -> Array:
        return np.zeros(m, np.intp)

    def parameters(self, layout: Layout) -> Parameters:
        return Parameters(layout, layout.zeros(self.dtype), self.dtype.itemsize)

    def borrow(self, theta: Parameters) -> Parameters:
        return theta

    def norm(self, n: int, m: int, by_batch: bool) -> Norm:
        return Norm(self.matrix(n, m), self.matrix(n, 1), by_batch)

    def numbers(self, n: int) -> Array:
        return np.zeros(n)

    def examples(
        self,
        X: Array,
        labels: Array | None,
        targets: Array | None,
        smoothing: float = 0.0,
        weights: Array | None = None,
    ) -> Examples:
        return Examples(
            X if is_sparse(X) else np.asfortranarray(dense(X)), labels, targets, smoothing, weights
        )

    def refill(
        self,
        examples: Examples,
        X: Array,
        labels: Array | None,
        targets: Array | None,
        weights: Array | None,
    ) -> None:
        new = X, labels, targets, weights
        old = examples.X, examples.labels, examples.targets, examples.weights
        for array, place in zip(new, old, strict=True):
            if array is not None:
                np.copyto(place, array)

    def expect(self, p: Pass, order: Array, key: int) -> None:
        """Nothing: the CPU is done with one pass before the next is known."""

    def new_pass(self, m: int) -> Pass:
        return Pass(np.arange(m), np.zeros(m, self.dtype), np.zeros(m, bool), 0, 0, None, 0)

    def begin(self, p: Pass, order: Array, etas: Array | None = None, key: int = 0) -> None:
        p.order, p.position, p.step, p.etas, p.key = order, 0, 0, etas, key

    def results(self, p: Pass) -> tuple[Array, Array]:
        return p.losses, p.hits

    def copy(self, array: Array, *, into: Array | None = None) -> Array:
        if into is None:
            return array.copy()
        np.copyto(into, array)
        return into

    def restore(self, values: Array, *, into: Array) -> None:
        np.copyto(into, values, "no")

    def _scratch(self, like: Array) -> Array:
        """One scratch buffer a shape, for all the verbs: no two of them use it at once."""
        if like.shape not in self._scratches:
            self._scratches[like.shape] = np.empty_like(like)
        return self._scratches[like.shape]
