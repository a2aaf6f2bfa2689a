"""Feedforward and back-propagation: the equations in order, and no array library.

Everything here yields equations; what computes them is a backend's business. The four equations are those of
Nielsen, "Neural Networks and Deep Learning", chapter 2, for a mini-batch of m columns at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpunn.core.equations import (
    Activate,
    Affine,
    ApplyWeights,
    Drop,
    Equation,
    Forward,
    HiddenError,
    Normalise,
    OutputError,
)
from gpunn.core.examples import Pass
from gpunn.core.parameters import Parameters
from gpunn.core.update import Update
from gpunn.core.workspace import BatchBuffers
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost


def feedforward(
    theta: Parameters, f: Sequence[Activation], batch: BatchBuffers, p: Pass
) -> Iterator[Equation]:
    """z[l] = w[l] a[l-1] + b[l],  a[l] = f[l](z[l]),  for l = 1…L; dropout thins out a[l-1] first."""
    a, z = batch.a, batch.z
    for l in range(1, len(theta.w)):
        if batch.dropout[l - 1]:
            yield Drop(l - 1, a[l - 1], batch.mask[l - 1], batch.dropout[l - 1], p, batch.share.first)
        if batch.norm[l]:
            yield Affine(l, theta, a[l - 1], out=z[l])
            yield Normalise(l, theta, batch.norm[l], z[l], batch.share)
            yield Activate(l, f[l], z[l], out=a[l])
        else:
            yield Forward(l, theta, f[l], a[l - 1], z[l], out=a[l])


def backpropagate(
    theta: Parameters, f: Sequence[Activation], cost: Cost, update: Update, batch: BatchBuffers
) -> Iterator[Equation]:
    """BP1 for the last layer, then BP2, BP3 and BP4 backwards; `update` says where the gradient lands."""
    a, z, delta, mask, L = batch.a, batch.z, batch.delta, batch.mask, len(theta.w) - 1
    yield OutputError(L, cost, f[L], z[L], a[L], batch.y, out=delta[L])  # BP1
    if batch.weights is not None:
        yield ApplyWeights(L, batch.weights, delta[L])
    for l in range(L, 0, -1):
        if batch.norm[l]:
            yield from update.accumulate_norm(l, delta[l], batch.norm[l], batch.share)
        if l > 1:  # before w[l] changes
            before = f[l - 1], z[l - 1], a[l - 1], mask[l - 1]
            yield HiddenError(l, theta, delta[l], *before, out=delta[l - 1])  # BP2
        yield from update.accumulate(l, delta[l], a[l - 1], batch.share)  # BP3, BP4
    yield from update.finish()
