"""BP3 and BP4 on CUDA, in the fastest way: C ← α δ aᵀ + β C, and the same of δ alone for the biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from gpunn.backends.cuda.device import BF16, Buffer, Product
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.source import BIAS_PACKS, LANES, PACK_BYTES, THREADS
from gpunn.backends.cuda.stacked import constant
from gpunn.core.equations import Gradient
from gpunn.functions.calls import Calls


def gradient(k: Kernels, e: Gradient) -> Calls:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b], one product if there are ones beneath a."""
    wb, (before, e) = e.into.wb[e.layer], with_shared_factors(k, e)
    if not e.a.ones:
        return before + in_two(k, e, wb)
    for fill in k.each("fill_border", e.a.shape[1], e.a.shape[0], e.a.ld, 1 / e.a.scale, e.a):
        fill()  # once for all replays: no kernel writes there
    ways: dict[str, Callable[[Kernels, Gradient, Buffer], Calls]] = {"together": in_one, "apart": in_two}
    if e.a.dtype == BF16:
        ways["padded"] = by_padding
    if k.memory.precision == "tf32":
        ways["transposed"] = by_transposing
    other = cache(partial(k.memory.new, wb.shape))  # for trials, which must not move θ
    trials = {name: partial(lambda way: way(k, e, other()), way) for name, way in ways.items()}
    task = f"BP3 and BP4 {wb.shape} of {wb.dtype}, {k.memory.precision}, {e.a.shape[1]} examples{k.times}"
    return before + ways[k.device.fastest(task, trials)](k, e, wb)


def with_shared_factors(k: Kernels, e: Gradient) -> tuple[Calls, Gradient]:
    """Return calls, and the equation that is left after them, whose α and β all networks of a stack share.

    A batch of products has one α and one β. If networks differ in them, kernels apply them before: δ becomes
    α δ, since no other equation reads it any more, and [w b] becomes β [w b].
    """
    if k.networks == 1:
        return [], e
    calls: Calls = []
    alpha, beta, wb = k.memory.cell(e.alpha), k.memory.cell(e.beta), e.into.wb[e.layer]
    if alpha.apart:
        calls += k.each("scale", e.delta.length, alpha, e.delta)
        e = replace(e, alpha=constant(1.0))
    if beta.apart:
        calls += k.each("scale", wb.size, beta, wb)
        e = replace(e, beta=constant(1.0))
    return calls, e


def in_one(k: Kernels, e: Gradient, wb: Buffer) -> Calls:
    """[w b] ← α δ [a; 1]ᵀ + β [w b]."""
    alpha, beta = k.memory.cell(e.alpha.times(e.a.scale)), k.memory.cell(e.beta)
    return [k.product(Product(alpha, e.delta, e.a.rows(e.a.shape[0] + 1), beta, wb, trans_b=True))]


def in_two(k: Kernels, e: Gradient, wb: Buffer) -> Calls:
    """b ← α Σ δ + β b, w ← α δ aᵀ + β w."""
    alpha, weighted, beta = map(k.memory.cell, (e.alpha, e.alpha.times(e.a.scale), e.beta))
    (n, m), n_in = e.delta.shape, e.a.shape[0]
    w, b = wb.columns(0, n_in), wb.columns(n_in, n_in + 1)
    blocks = -(-n // (BIAS_PACKS * k.pack))
    bias = k.launch("bias_gradient", blocks, THREADS, n, m, e.delta.ld, e.delta, alpha, beta, b)
    return [*bias, k.product(Product(weighted, e.delta, e.a, beta, w, trans_b=True))]


def by_padding(k: Kernels, e: Gradient, wb: Buffer) -> Calls:
    """[w b] ← α δ [a; 1]ᵀ + β [w b], by a product with padding that a kernel adds to [w b] without."""
    alpha, beta = k.memory.cell(e.alpha.times(e.a.scale)), k.memory.cell(e.beta)
    rows, columns = (k.memory.up_to(PACK_BYTES, x) for x in wb.shape)
    out = k.memory.scratch(rows, columns)
    product = Product(alpha, e.delta.rows(rows), e.a.rows(columns), k.memory.zero, out, trans_b=True)
    (n, m), threads = wb.shape, -(-wb.shape[0] // 4) * wb.shape[1]
    landing = k.launch("land", -(-threads // THREADS), THREADS, n, m, out.ld, beta, out, wb)
    return [k.product(product), *landing]


def by_transposing(k: Kernels, e: Gradient, wb: Buffer) -> Calls:
    """[w b] ← α δ [a; 1]ᵀ + β [w b], by a product along columns, which tensor cores read fast in TF32."""
    alpha, beta = k.memory.cell(e.alpha.times(e.a.scale)), k.memory.cell(e.beta)
    (n, m), rows, ld = e.delta.shape, wb.shape[1], k.memory.up_to(PACK_BYTES, e.delta.shape[1])
    both = k.memory.scratch(ld, n + rows)
    blocks = (-(-n // LANES) + -(-rows // LANES)) * -(-m // LANES)
    places = e.delta.ld, e.delta, e.a.ld, e.a, ld, both
    transposed = k.launch("transpose_both", blocks, THREADS, n, rows, m, *places)
    delta, a = both.columns(0, n).rows(m), both.columns(n, n + rows).rows(m)
    return [*transposed, k.product(Product(alpha, delta, a, beta, wb, trans_a=True))]
