"""Data augmentation on the CPU: where each pixel comes from, by matrix products, and what is there.

All images of a chunk are distorted together. A row and a column of zeros around each image stand for
everything outside it.

Measured on one core, an image of 28×28 pixels takes 8 µs, or 15 µs if it is bent, of which the products are 3
and the hashes 2. The rest is some 30 passes of NumPy. Two threads with half of the images each gain nothing,
since passes of 10 to 30 µs wait for the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.equations import Equation
from gpunn.core.examples import Pass
from gpunn.core.pass_equations import Distort
from gpunn.functions import randoms
from gpunn.functions.augmentation import NOISE, Augmentation
from gpunn.functions.calls import Array, Calls, constant

Gemm = Callable[..., Any]


def distort(context: Context, e: Distort) -> Calls:
    """x (n, m), one image a column, becomes what the pass shows; its columns may lie apart."""
    if isinstance(e.x, SparseColumns):
        raise ValueError("augmentation needs a dense X for images of this size: pass X.toarray()")
    chosen, x, gemm = e.augmentation, e.x.ones[:-1], context.gemm
    sources = [np.empty(x.shape, x.dtype, order="F") for _ in ("row", "column")]
    calls = _affine(chosen, sources, e.p, gemm)
    if chosen.elastic:
        calls += _bend(chosen, sources, e.p, gemm)
    return calls + _sample(chosen.shape, x, sources)


def _affine(chosen: Augmentation, sources: list[Array], p: Pass, gemm: Gemm) -> Calls:
    """Compute each pixel's row and column in the padded image, [y x 1] · (3, m), by one product each."""
    (height, width), (n, m), dtype = chosen.shape, sources[0].shape, sources[0].dtype
    rows, columns = np.divmod(np.arange(n), width)
    grid = np.array([rows - (height - 1) / 2, columns - (width - 1) / 2, np.ones(n)], dtype).T
    factors = [np.empty((3, m), dtype, order="F") for _ in sources]

    def draw() -> None:
        for place, values in zip(
            factors, chosen.affine(p.key, p.places[p.position : p.position + m]), strict=True
        ):
            place[:] = values
            place[2] += 1  # the row and column of zeros

    return [draw, *(_product(gemm, 1.0, grid, by, 0.0, s) for by, s in zip(factors, sources, strict=True))]


def _bend(chosen: Augmentation, sources: list[Array], p: Pass, gemm: Gemm) -> Calls:
    """sources ← sources + α · smoothed noise: one product smooths along the rows, one along the columns."""
    (height, width), (n, m), dtype = chosen.shape, sources[0].shape, sources[0].dtype
    along_row, along_column = (np.asfortranarray(chosen.smoothing(k), dtype) for k in (width, height))
    noise, smooth, upright = (np.empty((n, m), dtype, order="F") for _ in range(3))
    bits, s = (np.empty((n, m), np.uint32, order="F") for _ in range(2))
    lanes = bits.ravel(order="K").view("<u2").reshape((2, n, m), order="F")
    hashed = np.arange(n, dtype=np.uint32)
    randoms.mix_all(hashed, np.empty_like(hashed))

    def draw() -> None:
        streams = randoms.streams(p.key, p.places[p.position : p.position + m], NOISE)
        np.bitwise_xor(hashed[:, None], streams, bits)
        randoms.mix_all(bits, s)

    def turned(x: Array, first: int, second: int) -> Array:
        """View (n, m), which runs along first, as (second, first, m)."""
        return x.reshape((first, second, m), order="F").transpose(1, 0, 2)

    calls: Calls = [draw]
    for lane, source in zip(lanes, sources, strict=True):
        calls += [
            partial(np.multiply, lane, constant(noise, 2 / randoms.LANE), noise),
            partial(np.add, noise, constant(noise, 1 / randoms.LANE - 1), noise),
            _product(gemm, 1.0, along_row, _folded(noise, width), 0.0, _folded(smooth, width)),
            partial(np.copyto, upright.reshape((height, width, m), order="F"), turned(smooth, width, height)),
            _product(
                gemm, chosen.elastic, along_column, _folded(upright, height), 0.0, _folded(noise, height)
            ),
            partial(np.copyto, smooth.reshape((width, height, m), order="F"), turned(noise, height, width)),
            partial(np.add, source, smooth, source),
        ]
    return calls


def _folded(x: Array, side: int) -> Array:
    """View (n, m) as (side, n/side · m)."""
    return x.reshape((side, -1), order="F")


def _sample(shape: tuple[int, int], x: Array, sources: list[Array]) -> Calls:
    """x ← x at the sources, interpolated between four pixels."""
    (height, width), (n, m) = (side + 2 for side in shape), x.shape
    y, column = sources
    padded = np.zeros((width, height, m), x.dtype, order="F")
    flat = padded.ravel(order="K")
    begins = np.broadcast_to(np.arange(m) * (width * height), (n, m)).copy(order="F")
    index = np.empty((n, m), np.intp, order="F")
    whole, floor, *corners = (np.empty((n, m), x.dtype, order="F") for _ in range(6))
    calls: Calls = [partial(np.copyto, padded[1:-1, 1:-1], _strided(x, shape))]
    for source, side in ((y, height), (column, width)):
        calls.append(partial(source.clip, constant(x, 0), constant(x, side - 1), source))
    calls += [
        partial(np.floor, y, floor),
        partial(np.subtract, y, floor, y),
        partial(np.multiply, floor, constant(x, width), whole),
        partial(np.floor, column, floor),
        partial(np.subtract, column, floor, column),
        partial(np.add, whole, floor, whole),
        partial(np.copyto, index, whole, "unsafe"),
        partial(np.add, index, begins, index),
    ]
    for corner, offset in zip(corners, (0, 1, width, width + 1), strict=True):
        calls.append(partial(np.take, flat[offset:], index.T, None, corner.T, "clip"))
    above, right, below, last = corners
    calls += [*_between(above, right, column), *_between(below, last, column), *_between(above, below, y)]
    return [*calls, partial(np.copyto, x, above)]


def _between(a: Array, b: Array, share: Array) -> Calls:
    """a ← a + share · (b − a); overwrites b."""
    return [partial(np.subtract, b, a, b), partial(np.multiply, b, share, b), partial(np.add, a, b, a)]


def _strided(x: Array, shape: tuple[int, int]) -> Array:
    """View x (n, m), whose columns lie apart, as (width, height, m)."""
    step = x.itemsize
    strides = (step, step * shape[1], x.strides[1])
    return np.lib.stride_tricks.as_strided(x, (shape[1], shape[0], x.shape[1]), strides)


def _product(gemm: Gemm, alpha: float, a: Array, b: Array, beta: float, c: Array) -> Callable[[], Any]:
    """c ← alpha a b + beta c, in place."""
    return partial(gemm, alpha, a, b, beta, c, 0, 0, 1)


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {Distort: distort}
