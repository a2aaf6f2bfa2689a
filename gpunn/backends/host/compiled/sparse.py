"""Operations of sparse examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backends.host.compiled.operations import Code, Operation
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.backend import UINT8_SCALE
from gpunn.core.parameters import Parameters
from gpunn.functions.calls import Array

KINDS = {"uint8": 0, "bool": 0, "float32": 1, "float64": 2, "int32": 3, "int64": 4}


def fields(X: Any, scale: float = 1.0) -> list[int | float | Array] | None:
    """Return the fields of the columns of X (n, m); None if the kernels do not read numbers like these."""
    kind = KINDS.get(X.dtype.name)
    arrays = [X.data, X.indices, X.indptr]
    readable = all(x.dtype.isnative and x.flags.c_contiguous for x in arrays)
    if kind is None or not readable or {X.indices.dtype, X.indptr.dtype} != {np.dtype(np.int32)}:
        return None
    return [kind, *arrays, float(scale)]


def columns(x: SparseColumns) -> list[int | float | Array] | None:
    """Return the fields of a mini-batch's examples, scaled; None if the kernels do not read them."""
    return fields(x.examples, UINT8_SCALE if x.examples.dtype == np.uint8 else 1.0)


def gather(X: Any, out: Array) -> Operation | None:
    """out (n, c) ← the next c columns of X (n, m)."""
    found = fields(X)
    if found is None:
        return None
    return Operation(Code.GATHER_SPARSE, [*found, *out.shape, out, out.strides[1] // out.itemsize])


def affine(theta: Parameters, layer: int, a: SparseColumns, out: Array) -> Operation | None:
    """out = w a + b."""
    found, (n, n_in) = columns(a), theta.w[layer].shape
    if found is None:
        return None
    of_matrix = [n, n_in, a.shape[1], a.start, theta.wb[layer], out]
    return Operation(Code.SPARSE_AFFINE, [*found, *of_matrix], _work(a, n))


def gradient(
    into: Parameters, layer: int, delta: Array, a: SparseColumns, factors: list[Array]
) -> Operation | None:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b]."""
    found, (n, n_in) = columns(a), into.w[layer].shape
    if found is None:
        return None
    of_matrix = [n, n_in, a.shape[1], a.start, delta, *factors, into.wb[layer]]
    return Operation(Code.SPARSE_GRADIENT, [*found, *of_matrix], _work(a, n))


def _work(a: SparseColumns, n: int) -> int:
    """Guess the multiplications of a product."""
    X = a.examples
    return n * a.shape[1] * X.nnz // max(1, X.shape[1])
