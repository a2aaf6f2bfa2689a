"""Feedforward and back-propagation: the equations in order, and no array library.

Everything here yields bound calls; what computes them is a backend's business. The four equations are
those of Nielsen, "Neural Networks and Deep Learning", chapter 2, for a mini-batch of m columns at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpunn.core.backend import Backend, Pass
from gpunn.core.optimizers import Update
from gpunn.core.parameters import Parameters
from gpunn.core.workspace import Step
from gpunn.functions.activations import Activation
from gpunn.functions.calls import Call
from gpunn.functions.costs import Cost


def feedforward(be: Backend, theta: Parameters, f: Sequence[Activation], ws: Step, p: Pass) -> Iterator[Call]:
    """z[l] = w[l] a[l-1] + b[l],  a[l] = f[l](z[l]),  for l = 1…L; a[l-1] is what dropout keeps of it."""
    for l in range(1, len(theta.w)):
        if ws.dropout[l - 1]:
            yield from be.drop(ws.a[l - 1], ws.mask[l - 1], ws.dropout[l - 1], l - 1, p)
        if ws.norm[l]:
            yield from be.affine(theta, l, ws.a[l - 1], out=ws.z[l])
            yield from be.normalize(theta, l, ws.norm[l], out=ws.z[l])
            yield from be.activate(f[l], ws.z[l], out=ws.a[l])
        else:
            yield from be.feed(theta, l, f[l], ws.a[l - 1], z=ws.z[l], out=ws.a[l])


def backpropagate(
    be: Backend, theta: Parameters, f: Sequence[Activation], cost: Cost, update: Update, ws: Step
) -> Iterator[Call]:
    """BP1 for the last layer, then BP2, BP3 and BP4 backwards; `update` says where the gradient lands."""
    L = len(theta.w) - 1
    yield from be.output_error(cost, f[L], ws.z[L], ws.a[L], ws.y, out=ws.delta[L])  # BP1
    if ws.weights is not None:
        yield from be.weigh(ws.weights, ws.delta[L])
    for l in range(L, 0, -1):
        if ws.norm[l]:
            yield from update.land_norm(l, ws.delta[l], ws.norm[l], ws.m)
        if l > 1:  # before w[l] changes
            before = f[l - 1], ws.z[l - 1], ws.a[l - 1], ws.mask[l - 1]
            yield from be.hidden_error(theta, l, ws.delta[l], *before, out=ws.delta[l - 1])  # BP2
        yield from update.land(l, ws.delta[l], ws.a[l - 1], ws.m)  # BP3, BP4
    yield from update.finish()
