"""The equations on the CPU, each lowered by one function to bound calls.

A row of ones lies under every a[l] that a layer multiplies, so b rides in the product as one more column of
w, and its gradient comes out of BP4. Elementwise work runs on a contiguous copy, because NumPy is several
times slower on columns n + 1 apart. Equations over vectors are in vectors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import Columns
from gpunn.core.backend import Pass
from gpunn.core.equations import (
    Activate,
    Advance,
    Affine,
    ApplyWeights,
    CollectOutputs,
    Drop,
    Equation,
    Forward,
    Gather,
    Gradient,
    HiddenError,
    Measure,
    NextStep,
    OutputError,
    RefreshLowPrecision,
    WeighLosses,
)
from gpunn.core.inputs import is_sparse
from gpunn.functions import randoms
from gpunn.functions.activations import Activation
from gpunn.functions.calls import Array, Calls

BLOCK = 8192  # random numbers of 32 bits at a time, so that their many passes stay in the cache


# the mini-batch


def gather(context: Context, e: Gather) -> Calls:
    """x, y, labels and weights ← those of the next columns of the pass."""
    examples, p, calls = e.examples, e.p, _take(e.examples.X, e.p, e.x.ones[:-1])
    if examples.targets is not None:
        calls += _take(examples.targets, p, e.y)
    if examples.labels is not None:
        calls += _take(examples.labels[None], p, e.labels[None])
        calls += _targets_of(e.labels, e.y, *examples.on_and_off(len(e.y)))
    if e.weights is not None:
        calls += _take(examples.weights, p, e.weights)
    return calls


def _take(source: Array, p: Pass, out: Array) -> Calls:
    """out (n, c) ← the next c columns of source (n, m), dense and converted to out's dtype."""
    rows, into, c = source.T, out.T, out.shape[1]
    taken = np.empty((c, source.shape[0]), source.dtype)

    def take() -> None:
        where = places(p.order[p.position : p.position + c])
        found = rows[where] if isinstance(where, slice) else np.take(rows, where, 0, taken, "clip")
        np.copyto(into, found, "same_kind")

    def take_sparse() -> None:
        where = places(p.order[p.position : p.position + c])
        np.copyto(into, rows[where].toarray(out=taken), "same_kind")

    return [take_sparse if is_sparse(source) else take]


def places(order: Array) -> Array | slice:
    """Return the indices, as a slice if they count up, which saves a copy."""
    first, last = order.item(0), order.item(-1)
    counts_up = last - first == len(order) - 1 and bool((np.diff(order) == 1).all())
    return slice(first, last + 1) if counts_up else order


def _targets_of(labels: Array, y: Array, on: float, off: float) -> Calls:
    """y (n, m) ← `on` for each example's class, `off` for the others."""
    if len(y) == 1:
        of_class = np.array([[off], [on]], y.dtype)
    else:
        of_class = np.full((len(y), len(y)), off, y.dtype)
        np.fill_diagonal(of_class, on)
    return [partial(np.take, of_class, labels, 0, y.T, "clip")]


# feedforward


def drop(context: Context, e: Drop) -> Calls:
    """mask ← 0 or 1 at random; a ← a ⊙ mask."""
    kept = e.a.ones[:-1]
    source = kept if e.a.plain is None else e.a.plain
    return [*_draw(e.mask, e.rate, e.layer, e.p), partial(np.multiply, source, e.mask, kept)]


def _draw(mask: Array, rate: float, layer: int, p: Pass) -> Calls:
    """Draw the mask in blocks that stay in the cache; every hash of 32 bits serves two elements."""
    flat, size = mask.ravel(order="K"), (mask.size + 1) // 2
    hashed, bits, s = np.arange(size, dtype=np.uint32), np.empty(size, np.uint32), np.empty(BLOCK, np.uint32)
    randoms.mix_all(hashed, np.empty_like(hashed))
    least, now = np.full(BLOCK * 2, randoms.threshold(rate), np.uint16), np.zeros((), np.uint32)

    def stream() -> None:
        now[()] = randoms.stream(p.key, p.step, layer)

    def draw(start: int) -> Calls:
        block = bits[start : start + BLOCK]
        lanes, out = block.view("<u2"), flat[2 * start : 2 * (start + BLOCK)]
        return [
            partial(np.bitwise_xor, hashed[start : start + BLOCK], now, block),
            partial(randoms.mix_all, block, s[: len(block)]),
            partial(np.greater_equal, lanes[: len(out)], least[: len(out)], out, casting="unsafe"),
        ]

    return [stream, *(call for start in range(0, size, BLOCK) for call in draw(start))]


def forward(context: Context, e: Forward) -> Calls:
    """z = w a + b, out = f(z)."""
    z = context.product(float(e.a.scale), e.theta.wb[e.layer], e.a.ones, 0.0, e.z)
    return [*z, *_activate(context, e.f, e.z, e.out)]


def affine(context: Context, e: Affine) -> Calls:
    """out = w a + b."""
    return context.product(float(e.a.scale), e.theta.wb[e.layer], e.a.ones, 0.0, e.out)


def activate(context: Context, e: Activate) -> Calls:
    """out = f(z)."""
    return _activate(context, e.f, e.z, e.out)


def _activate(context: Context, f: Activation, z: Array, out: Columns) -> Calls:
    a = out.plain
    calls = f.f(a, context.scratch(a))
    if z is not a:
        calls.insert(0, partial(np.copyto, a, z))
    if out.ones is not None:
        calls.append(partial(np.copyto, out.ones[:-1], a))
    return calls


# back-propagation


def output_error(context: Context, e: OutputError) -> Calls:
    """BP1: δ = ∇C ⊙ f′(z)."""
    a = e.a.plain
    if e.cost.pairs(e.f):
        return [partial(np.subtract, a, e.y, e.out)]
    return [*e.cost.gradient(a, e.y, e.out), *e.f.backward(e.out, a, e.z, context.scratch(a))]


def apply_weights(context: Context, e: ApplyWeights) -> Calls:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    spread = context.scratch(e.delta)  # NumPy allocates when it broadcasts
    return [partial(np.copyto, spread, e.weights), partial(np.multiply, e.delta, spread, e.delta)]


def hidden_error(context: Context, e: HiddenError) -> Calls:
    """BP2: out = (wᵀ δ) ⊙ f′(z), and ⊙ mask."""
    calls = context.product(float(e.a.scale), e.theta.w[e.layer], e.delta, 0.0, e.out, trans_a=1)
    calls += e.f.backward(e.out, e.a.plain, e.z, context.scratch(e.z))
    if e.mask is not None:
        calls.append(partial(np.multiply, e.out, e.mask, e.out))
    return calls


def gradient(context: Context, e: Gradient) -> Calls:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b]."""
    alpha, beta = context.cell(e.alpha.times(e.a.scale)), context.cell(e.beta)
    return context.product(alpha, e.delta, e.a.ones, beta, e.into.wb[e.layer], trans_b=1)


# how good the outputs are, and where the pass is


def measure(context: Context, e: Measure) -> Calls:
    """Write each example's loss and hit into the pass."""
    a, p, c = e.a.plain, e.p, e.y.shape[1]
    share, ones = np.empty_like(e.y), np.ones(len(e.y), context.dtype)
    calls = e.cost.loss_calls(e.f, a, e.y, e.z, share)

    def losses() -> None:
        out = p.losses[p.position : p.position + c]
        context.gemv(1.0, share, ones, 0.0, out, 0, 1, 0, 1, 1, 1)  # sums the columns

    return [*calls, losses, *([] if e.labels is None else _hits(e, a, c))]


def _hits(e: Measure, a: Array, c: int) -> Calls:
    predicted, labels, p = np.empty(c, np.intp), e.labels, e.p
    predict = partial(np.argmax, a.T, 1, predicted)
    if len(a) == 1:
        predict = partial(np.greater, a[0], e.cost.threshold, predicted, casting="unsafe")

    def hits() -> None:
        np.equal(predicted, labels, p.hits[p.position : p.position + c])

    return [predict, hits]


def weigh_losses(context: Context, e: WeighLosses) -> Calls:
    """Multiply each example's loss in the pass by its weight."""
    row, p = e.weights[0], e.p

    def weigh() -> None:
        losses = p.losses[p.position : p.position + len(row)]
        np.multiply(losses, row, losses)

    return [weigh]


def collect(context: Context, e: CollectOutputs) -> Calls:
    """Copy the outputs into the columns of `into` that the pass has come to."""
    a, into, p = e.a.plain, e.into, e.p

    def collect() -> None:
        into[:, p.position : p.position + a.shape[1]] = a

    return [collect]


def advance(context: Context, e: Advance) -> Calls:
    """Move the pass m examples further."""
    p, m = e.p, e.m

    def advance() -> None:
        p.position += m

    return [advance]


def next_step(context: Context, e: NextStep) -> Calls:
    """Move the pass one step further."""
    p = e.p

    def next_step() -> None:
        p.step += 1

    return [next_step]


def nothing(context: Context, e: RefreshLowPrecision) -> Calls:
    """Do nothing: products read θ itself."""
    return []


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {
    Gather: gather,
    Drop: drop,
    Forward: forward,
    Affine: affine,
    Activate: activate,
    OutputError: output_error,
    ApplyWeights: apply_weights,
    HiddenError: hidden_error,
    Gradient: gradient,
    Measure: measure,
    WeighLosses: weigh_losses,
    CollectOutputs: collect,
    Advance: advance,
    NextStep: next_step,
    RefreshLowPrecision: nothing,
}
