"""Products on the CPU: BLAS's gemm, whole or in pieces.

On processors with AVX-512, OpenBLAS computes a product of up to a million multiplications by kernels that
read the operands where they are. It copies larger operands first, which can take as long as the product of a
mini-batch itself. On one thread, a product of a few million multiplications is therefore cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from gpunn.backends.host.pool import blas
from gpunn.functions.calls import Array, Calls, constant

Gemm: TypeAlias = Callable[..., Any]

SMALL = 1_000_000  # multiplications of a product whose operands OpenBLAS reads where they are
CUT = 1_200_000  # multiplications from which a product is cut; below, all keep the bits of version 0.1.0
PIECES = 4  # with more pieces, their results are read and written too often
COLUMNS = 256  # more columns, as in evaluations, make up for a copy
CORES = "SkylakeX", "Cooperlake", "SapphireRapids"  # OpenBLAS's names of the processors that have the kernels
TURNED = 4096, 100_000  # elements of a matrix and multiplications for which aᵀ is better turned than read


def product(
    gemm: Gemm,
    alpha: Any,
    a: Array,
    b: Array,
    beta: Any,
    c: Array,
    trans_a: int = 0,
    trans_b: int = 0,
    one_thread: bool = True,
) -> Calls:
    """c ← alpha op(a) op(b) + beta c, in place.

    one_thread: whether the product never has more.
    """
    depth = a.shape[0] if trans_a else a.shape[1]
    multiplications = c.size * depth
    if trans_a and a.size <= TURNED[0] and multiplications >= TURNED[1]:
        turned = np.empty(a.shape[::-1], a.dtype, order="F")
        turn = partial(np.copyto, turned, a.T)
        return [turn, *product(gemm, alpha, turned, b, beta, c, 0, trans_b, one_thread)]
    pieces = -(-multiplications // SMALL) if multiplications >= CUT else 1
    cut = one_thread and not trans_a and 1 < pieces <= PIECES and b.shape[1] <= COLUMNS
    if not (cut and reads_in_place()):
        return [partial(gemm, alpha, a, b, beta, c, trans_a, trans_b, 1)]
    columns = [slice(k * b.shape[1] // pieces, (k + 1) * b.shape[1] // pieces) for k in range(pieces)]
    if not trans_b:
        return [partial(gemm, alpha, a, b[:, i], beta, c[:, i], 0, 0, 1) for i in columns]
    betas = [beta] + [constant(c, 1)] * (pieces - 1)
    return [
        partial(gemm, alpha, a[:, i], b[:, i], by, c, 0, 1, 1) for i, by in zip(columns, betas, strict=True)
    ]


@lru_cache(maxsize=1)
def reads_in_place() -> bool:
    """Whether BLAS has the kernels for small operands."""
    found = {getattr(library, "architecture", None) for library in blas().libraries}
    return bool(found) and found <= set(CORES)
