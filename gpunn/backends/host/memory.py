"""Arrays of the CPU backend: NumPy's, column-major."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.core.backend import UINT8_SCALE
from gpunn.core.examples import Examples
from gpunn.core.inputs import is_sparse
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.scalars import CAPACITY, StepScalars
from gpunn.functions.calls import Array, zeros

MOST_ENTRIES = 0.05  # of sparse inputs, for which sparse kernels are at least twice as quick as dense ones
MAX_DENSE_BYTES = 1 << 26  # sparse inputs of a chunk that would be larger stay sparse


@dataclass
class Columns:
    """a[l] (n, m), twice: contiguous, and with a row of ones beneath for the layer that multiplies it.

    The inputs only have the second form, the outputs only the first. Bytes and what dropout keeps are stored
    unscaled. The products that read them scale them, which is why the row holds 1/scale.

    Attributes:
        plain: (n, m), contiguous.
        ones: (n + 1, m).
        scale: the factor of the products that read it.
    """

    plain: Any
    ones: Any
    scale: float = 1

    def __post_init__(self) -> None:
        like = self.ones if self.plain is None else self.plain
        self.shape = (like.shape[0] - (self.plain is None), like.shape[1])


@dataclass
class SparseColumns:
    """a[0] (n, m) of sparse examples that would be too large if dense.

    Attributes:
        gathered: a list of one sparse matrix: the chunk's examples as rows, scaled, in the backend's dtype;
            compiled kernels read `examples` instead.
        examples: the sparse matrix (n, m) from which they are gathered.
        start: where in the chunk these columns begin.
    """

    shape: tuple[int, int]
    gathered: list[Any]
    examples: Any
    start: int = 0
    scale: float = 1

    @property
    def rows(self) -> Any:
        """The examples as rows (m, n), sparse."""
        return self.gathered[0][self.start : self.start + self.shape[1]]


@dataclass
class Norm:
    """Values that batch normalisation keeps from its forward pass for its backward pass.

    Attributes:
        z: ẑ (n, m).
        gain: γ/√(σ² + ε) (n, 1).
        by_batch: by the mini-batch's mean and variance, not by the running ones.
    """

    z: Array
    gain: Array
    by_batch: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.z.shape


class HostMemory:
    """Arrays in float32 or float64. compiled: whether there are kernels for sparse examples."""

    def __init__(self, dtype: str, compiled: bool = False) -> None:
        self.dtype, self.compiled = np.dtype(dtype), compiled

    def upload(self, array: Array) -> Array:
        return np.array(array, self.dtype, order="F")

    def download(self, array: Array) -> Array:
        return array

    def copy(self, array: Array, *, into: Array | None = None) -> Array:
        if into is None:
            return array.copy()
        np.copyto(into, array)
        return into

    def restore(self, values: Array, *, into: Array) -> None:
        np.copyto(into, values, "no")

    def matrix(self, n: int, m: int) -> Array:
        return zeros((n, m), self.dtype)

    operand = matrix

    def numbers(self, n: int) -> Array:
        return np.zeros(n)

    def scalars(self, eta: float) -> StepScalars:
        return StepScalars(eta, np.zeros(CAPACITY, self.dtype))

    def new_parameters(self, layout: Layout, name: str = "θ") -> Parameters:
        return Parameters(layout, layout.zeros(self.dtype), self.dtype.itemsize, name=name)

    def borrow(self, theta: Parameters) -> Parameters:
        return theta

    def inputs(
        self, examples: Examples, m: int, dropout: float, distorted: bool = False
    ) -> Columns | SparseColumns:
        n = examples.X.shape[0]
        if is_sparse(examples.X) and not dropout and self._stays_sparse(examples.X, m, distorted):
            return SparseColumns((n, m), [None], examples.X)
        scale = (UINT8_SCALE if examples.X.dtype == np.uint8 else 1) / (1 - dropout)
        return Columns(None, self._with_ones(n, m, scale), scale)

    def _stays_sparse(self, X: Any, m: int, distorted: bool) -> bool:
        """Whether m columns of a sparse X (n, …) are multiplied as they are."""
        n, count = X.shape
        if n * m * self.dtype.itemsize > MAX_DENSE_BYTES:
            return True
        return self.compiled and not distorted and X.nnz <= MOST_ENTRIES * n * count

    def hidden(self, n: int, m: int, over: Array, dropout: float) -> Columns:
        scale = 1 / (1 - dropout)
        return Columns(over, self._with_ones(n, m, scale), scale)

    def _with_ones(self, n: int, m: int, scale: float) -> Array:
        ones = zeros((n + 1, m), self.dtype)
        ones.fill(1 / scale)
        return ones

    def outputs(self, n: int, m: int, over: Array) -> Columns:
        return Columns(over, None)

    def labels(self, m: int) -> Array:
        return np.zeros(m, np.intp)

    def norm(self, n: int, m: int, by_batch: bool) -> Norm:
        return Norm(self.matrix(n, m), self.matrix(n, 1), by_batch)

    def columns(self, buffer: Any, start: int, stop: int) -> Any:
        if isinstance(buffer, SparseColumns):
            return SparseColumns((buffer.shape[0], stop - start), buffer.gathered, buffer.examples, start)
        if isinstance(buffer, Columns):
            plain, ones = buffer.plain, buffer.ones
            return Columns(
                None if plain is None else plain[:, start:stop],
                None if ones is None else ones[:, start:stop],
                buffer.scale,
            )
        return buffer[:, start:stop]
