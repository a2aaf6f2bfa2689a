"""The first layer's products with sparse examples, for inputs that are too wide to be made dense."""

from __future__ import annotations

import numpy as np
import scipy  # loads scipy.sparse when examples are sparse

from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.backend import UINT8_SCALE
from gpunn.core.examples import Pass
from gpunn.functions.calls import Array, Calls


def gather(context: Context, source: Array, p: Pass, x: SparseColumns) -> Calls:
    """x ← the next columns of source (n, m), in the backend's dtype and scaled."""
    rows, c, scale = source.T, x.shape[1], UINT8_SCALE if source.dtype == np.uint8 else 1

    def take() -> None:
        taken = scipy.sparse.csr_array(rows[p.order[p.position : p.position + c]], dtype=context.dtype)
        x.gathered[0] = taken if scale == 1 else taken * context.dtype.type(scale)

    return [take]


def affine(w: Array, b: Array, a: SparseColumns, out: Array) -> Calls:
    """out = w a + b."""

    def product() -> None:
        np.add(a.rows @ w.T, b.T, out.T)

    return [product]


def gradient(alpha: Array, delta: Array, a: SparseColumns, beta: Array, w: Array, b: Array) -> Calls:
    """BP3, BP4: w ← α δ aᵀ + β w and b ← α Σ δ + β b; only the columns of w that occur in a are added to."""

    def product() -> None:
        for array in (w, b):
            if beta == 0:  # as BLAS, which does not read what it replaces
                array[:] = 0
            elif beta != 1:
                array *= beta
        rows = a.rows
        used, renumbered = np.unique(rows.indices, return_inverse=True)
        narrow = scipy.sparse.csr_array(
            (rows.data, renumbered, rows.indptr), shape=(rows.shape[0], len(used))
        )
        w.T[used] += alpha * (narrow.T @ delta.T)
        b[:, 0] += alpha * delta.sum(1)

    return [product]
