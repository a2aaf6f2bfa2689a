"""The equations of a pass on the CPU: gather the examples, measure the outputs, and move on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host import sparse
from gpunn.backends.host.context import Context
from gpunn.backends.host.data import can_be_copied, with_ones
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.equations import Equation
from gpunn.core.examples import Pass
from gpunn.core.inputs import is_sparse
from gpunn.core.pass_equations import Advance, CollectOutputs, Gather, Measure, NextStep, WeighLosses
from gpunn.functions.calls import Array, Calls, constant

FEW = 64  # outputs that are measured by rows


def gather(context: Context, e: Gather) -> Calls:
    """x, y, labels and weights ← those of the next columns of the pass."""
    examples, p = e.examples, e.p
    if isinstance(e.x, SparseColumns):
        calls = sparse.gather(context, examples.X, p, e.x)
    elif e.repeated and can_be_copied(examples.X, e.x):
        calls = _take(with_ones(examples), p, e.x.ones)
    else:
        calls = _take(examples.X, p, e.x.ones[:-1])
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

    def take_as_is() -> None:
        rows.take(p.order[p.position : p.position + c], 0, into, "clip")

    if not is_sparse(source) and source.dtype == out.dtype and into.flags.c_contiguous:
        return [take_as_is]
    taken = np.empty((c, source.shape[0]), source.dtype)

    def take() -> None:
        where = places(p.order[p.position : p.position + c])
        found = rows[where] if isinstance(where, slice) else rows.take(where, 0, taken, "clip")
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
    return [partial(of_class.take, labels, 0, y.T, "clip")]


def measure(context: Context, e: Measure) -> Calls:
    """Write each example's loss and hit into the pass."""
    if e.labels is None:
        return _losses(context, e)
    if 1 < len(e.y) <= FEW:
        return _measure_by_rows(context, e)
    return [*_losses(context, e), *_hits(e)]


def _losses(context: Context, e: Measure) -> Calls:
    p, c, share = e.p, e.y.shape[1], np.empty_like(e.y)
    ones = np.ones(len(e.y), context.dtype)

    def losses() -> None:
        out = p.losses[p.position : p.position + c]
        context.gemv(1.0, share, ones, 0.0, out, 0, 1, 0, 1, 1, 1)  # sums the columns

    return [*e.cost.loss_calls(e.f, e.a.plain, e.y, e.z, share), losses]


def _hits(e: Measure) -> Calls:
    a, labels, p, predicted = e.a.plain, e.labels, e.p, np.empty(len(e.labels), np.intp)
    predict = partial(np.argmax, a.T, 1, predicted)
    if len(a) == 1:
        predict = partial(np.greater, a[0], e.cost.threshold, predicted, casting="unsafe")

    def hits() -> None:
        np.equal(predicted, labels, p.hits[p.position : p.position + len(labels)])

    return [predict, hits]


def _measure_by_rows(context: Context, e: Measure) -> Calls:
    """Measure in a row-major copy of the outputs, since NumPy is slow with many short columns."""
    a, labels = e.a.plain, e.labels
    rows, place, columns = np.empty(a.shape, a.dtype), np.empty_like(labels), np.arange(len(labels))
    find: Calls = [
        partial(np.copyto, rows, a),
        partial(np.multiply, labels, constant(labels, len(labels)), place),
        partial(np.add, place, columns, place),
    ]
    of_label = e.one_hot and e.cost.of_targets and e.f.by_column
    losses = _losses_at(e, rows, place) if of_label else _losses(context, e)
    return [*find, *losses, *_hits_at(e, rows, place)]


def _losses_at(e: Measure, rows: Array, place: Array) -> Calls:
    """Write the losses of the labels' outputs alone, for a cost whose other outputs cost nothing."""
    p, c, zero = e.p, len(place), constant(rows, 0)
    of_label, one, share = (
        np.empty((1, c), rows.dtype),
        np.ones((1, c), rows.dtype),
        np.empty((1, c), rows.dtype),
    )

    def losses() -> None:
        np.add(share[0], zero, p.losses[p.position : p.position + c])  # no −0

    return [partial(rows.take, place, None, of_label[0], "clip"), *e.cost.loss(of_label, one, share), losses]


def _hits_at(e: Measure, rows: Array, place: Array) -> Calls:
    """Write whether each label's output is its column's only maximum; with a tie, find the first one."""
    p, c, first = e.p, len(place), _hits(e)
    most, spread, is_most = np.empty((1, c), rows.dtype), np.empty_like(rows), np.empty(rows.shape, bool)

    def hits() -> None:
        if np.count_nonzero(is_most) == c:
            is_most.take(place, None, p.hits[p.position : p.position + c], "clip")
        else:
            for call in first:
                call()

    return [
        partial(np.maximum.reduce, rows, 0, None, most, True),
        partial(np.copyto, spread, most),
        partial(np.equal, rows, spread, is_most),
        hits,
    ]


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


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {
    Gather: gather,
    Measure: measure,
    WeighLosses: weigh_losses,
    CollectOutputs: collect,
    NextStep: next_step,
    Advance: advance,
}
