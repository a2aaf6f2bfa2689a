"""The equations of a pass on the CPU: gather the examples, measure the outputs, and move on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.host import sparse
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.equations import Equation
from gpunn.core.examples import Pass
from gpunn.core.inputs import is_sparse
from gpunn.core.pass_equations import Advance, CollectOutputs, Gather, Measure, NextStep, WeighLosses
from gpunn.functions.calls import Array, Calls


def gather(context: Context, e: Gather) -> Calls:
    """x, y, labels and weights ← those of the next columns of the pass."""
    examples, p = e.examples, e.p
    if isinstance(e.x, SparseColumns):
        calls = sparse.gather(context, examples.X, p, e.x)
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

    def take_sparse() -> None:
        np.copyto(into, rows[p.order[p.position : p.position + c]].toarray(), "same_kind")

    if is_sparse(source):
        return [take_sparse]
    taken = np.empty((c, source.shape[0]), source.dtype)

    def take() -> None:
        rows.take(p.order[p.position : p.position + c], 0, taken, "clip")  # into `taken`, without a copy
        np.copyto(into, taken, "same_kind")

    return [take]


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
    losses = _losses(e)
    return losses if e.labels is None else [*losses, *_hits(e)]


def _losses(e: Measure) -> Calls:
    p, c, share = e.p, e.y.shape[1], np.empty_like(e.y)

    def losses() -> None:
        share.sum(0, out=p.losses[p.position : p.position + c], initial=0)

    return [*e.cost.loss_calls(e.f, e.a.plain, e.y, e.z, share), losses]


def _hits(e: Measure) -> Calls:
    a, labels, p, predicted = e.a.plain, e.labels, e.p, np.empty(len(e.labels), np.intp)
    predict = partial(np.argmax, a.T, 1, predicted)
    if len(a) == 1:
        predict = partial(np.greater, a[0], e.cost.threshold, predicted, casting="unsafe")

    def hits() -> None:
        np.equal(predicted, labels, p.hits[p.position : p.position + len(labels)])

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


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {
    Gather: gather,
    Measure: measure,
    WeighLosses: weigh_losses,
    CollectOutputs: collect,
    NextStep: next_step,
    Advance: advance,
}
