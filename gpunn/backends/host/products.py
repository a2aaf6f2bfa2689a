"""Products on the CPU: BLAS's gemm, whole or in pieces.

On processors with AVX-512, OpenBLAS computes a product of up to a million multiplications on one thread, by
kernels that read the operands where they are. It copies larger operands first, which can take as long as the
product of a mini-batch itself. A product of a few million multiplications is therefore cut into pieces. That
is quicker than sharing it among two threads, and neither busy processes nor the number of threads matter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from gpunn.backends.host import blocks
from gpunn.backends.host.pool import blas
from gpunn.functions.calls import Array, Calls, constant

Gemm: TypeAlias = Callable[..., Any]

ALONE = 1 << 18  # multiplications of a product that OpenBLAS computes on one thread on every processor
SMALL = 1_000_000  # multiplications of a product whose operands OpenBLAS reads where they are
PIECES = 4  # a larger product makes up for its copies, and for threads that wait for each other
FEW, PIECES_OF_FEW = 32, {4: 8, 8: 2}  # columns, and pieces by itemsize: reading w takes most of the time
COLUMNS = 256  # more columns, as in evaluations, make up for copies, too
LONG = 3, 16  # c is cut into groups of 16 rows if it has at least 3 times as many as columns
CORES = "SkylakeX", "Cooperlake", "SapphireRapids"  # OpenBLAS's names of the processors that have the kernels
TURNED = 4096, 100_000  # elements of a matrix and multiplications for which aᵀ is better turned than read


def product(
    gemm: Gemm,
    alpha: float | Array,
    a: Array,
    b: Array,
    beta: float | Array,
    c: Array,
    trans_a: int = 0,
    trans_b: int = 0,
) -> Calls:
    """c ← alpha op(a) op(b) + beta c, in place."""
    if trans_a and _is_turned(a, c):
        turned = np.empty(a.shape[::-1], a.dtype, order="F")
        turn = partial(np.copyto, turned, a.T)
        return [turn, *product(gemm, alpha, turned, b, beta, c, 0, trans_b)]
    if pieces(a, b, c, trans_a) < 2:
        return [partial(gemm, alpha, a, b, beta, c, trans_a, trans_b, 1)]
    alpha, beta = (x if isinstance(x, np.ndarray) else constant(c, x) for x in (alpha, beta))
    (m, n), k = c.shape, a.shape[1]
    if trans_b and k >= max(m, n):  # c is small, and stays in the cache
        parts = _cuts(k, SMALL // (m * n))
        betas = [beta] + [constant(c, 1)] * (len(parts) - 1)
        return [
            partial(gemm, alpha, a[:, i], b[:, i], by, c, 0, 1, 1) for i, by in zip(parts, betas, strict=True)
        ]
    call = partial(blocks.block, alpha, beta=beta, trans_b=trans_b)
    if m >= LONG[0] * n:
        return [call(a[i], b, c=c[i]) for i in _cuts(m, SMALL // (n * k), LONG[1])]
    return [call(a, b[i] if trans_b else b[:, i], c=c[:, i]) for i in _cuts(n, SMALL // (m * k))]


def pieces(a: Array, b: Array, c: Array, trans_a: int) -> int:
    """Return how many pieces a product needs, each for one thread; 0 if threads may share it."""
    multiplications, columns = c.size * a.shape[0 if trans_a else 1], b.shape[1]
    if multiplications <= ALONE:
        return 1
    n = -(-multiplications // SMALL)
    most = PIECES_OF_FEW[c.itemsize] if columns <= FEW else PIECES
    pays = n == 1 or (n <= most and columns <= COLUMNS)
    return n if pays and (not trans_a or _is_turned(a, c)) and reads_in_place() else 0


def _is_turned(a: Array, c: Array) -> bool:
    """Whether aᵀ is copied, for a kernel that reads it in place."""
    return a.size <= TURNED[0] and c.size * a.shape[0] >= TURNED[1]


def _cuts(n: int, most: int, unit: int = 1) -> list[slice]:
    """Cut n into equal parts of at most that many, in multiples of the unit if it is not too long."""
    unit = unit if unit <= most else 1
    count = -(-n // max(1, most // unit * unit))
    part = -(-n // (count * unit)) * unit
    return [slice(start, min(start + part, n)) for start in range(0, n, part)]


@lru_cache(maxsize=1)
def reads_in_place() -> bool:
    """Whether BLAS has the kernels for small operands, and can be called for blocks of matrices."""
    found = {library.architecture for library in blas().libraries if hasattr(library, "architecture")}
    return bool(found) and found <= set(CORES) and blocks.gemm(np.dtype(np.float32)) is not None
