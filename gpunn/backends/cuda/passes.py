"""The equations of a pass on CUDA: gather the examples, measure the outputs, and move on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backends.cuda.data import OnHost
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.source import SMOOTHED, cost_source, layer_source
from gpunn.backends.cuda.stream import Feed
from gpunn.core.backend import UINT8_SCALE
from gpunn.core.equations import Equation
from gpunn.core.pass_equations import (
    Advance,
    CollectOutputs,
    Distort,
    Gather,
    Measure,
    NextStep,
    WeighLosses,
)
from gpunn.functions.calls import Calls

DISTORTING = 128  # threads of a block that distorts images
NUMBERS_A_PIXEL = 5  # of its own memory: two fields of noise, twice, and the image
SHARED_BYTES = (
    48 << 10
)  # of shared memory, for blocks with images that fit; larger ones are in global memory,
ROOM_BYTES = 64 << 20  # of which all blocks have no more than this
BLOCKS_A_PROCESSOR = 16  # more could not run at the same time


def gather(k: Kernels, e: Gather) -> Calls:
    """x, y, labels and weights ← those of the next columns of the pass."""
    examples, p, calls = e.examples, e.p, _gather(k, e.examples.X, e.p, e.x)
    if examples.targets is not None:
        calls += _gather(k, examples.targets, p, e.y)
    if examples.labels is not None:
        n, where = e.y.shape[0], (examples.labels, p.order, p.position)
        calls += k.columns("gather_labels", e.labels.size, n, *where, *examples.on_and_off(n), e.labels, e.y)
    if e.weights is not None:
        calls += _gather(k, examples.weights, p, e.weights)
    return calls


def _gather(k: Kernels, source: Buffer | OnHost, p: Any, out: Buffer) -> Calls:
    """out (n, m) ← the next m columns of the source, converted to out's dtype."""
    (n, m), module = out.shape, layer_source(out.dtype)
    kernel, scale = ("gather_bytes", UINT8_SCALE) if source.dtype == "uint8" else ("gather_values", 1.0)
    if isinstance(source, Buffer):
        return k.columns(kernel, m, n, out.ld, source, p.order, p.position, scale, out, module=module)
    feed, in_order = Feed(k.memory, source, p, m), k.memory.put(np.arange(m), np.int64)
    where = feed.block, in_order, in_order
    return [feed, *k.columns(kernel, m, n, out.ld, *where, scale, out, module=module)]


def distort(k: Kernels, e: Distort) -> Calls:
    """x (n, m) ← what the pass shows of these images, in place; each block has one image at a time."""
    shown, x, memory = e.augmentation, e.x, k.memory
    (height, width), (n, m) = shown.shape, x.shape
    numbers = NUMBERS_A_PIXEL * n
    nbytes = numbers * memory.dtype.itemsize
    on_chip = nbytes <= min(SHARED_BYTES, k.device.shared_bytes)
    most = BLOCKS_A_PROCESSOR * k.device.processors if on_chip else max(1, ROOM_BYTES // nbytes)
    blocks = min(m, max(1, most // k.networks))
    room = memory.one if on_chip else memory.new((numbers * blocks,))
    bell = memory.put(shown.smoothing(max(shown.shape) + SMOOTHED)[0])  # weights by distance
    most_of = [float(v) for v in (np.radians(shown.rotate), shown.scale, shown.shift, shown.elastic)]
    places = (0, e.p.position) if e.p.places is None else (1, e.p.places)
    where = height, width, x.ld, e.p.key, e.p.position, *places
    given = m, *where, *most_of, bell, int(on_chip), room, x
    return k.launch("distort", blocks, DISTORTING, *given, shared=nbytes if on_chip else 0)


def measure(k: Kernels, e: Measure) -> Calls:
    """Write each example's loss and hit into the pass."""
    (n, m), p, cost = e.y.shape, e.p, e.cost
    hits = p.order if e.labels is None else e.labels, float(cost.threshold), p.hits
    labelled = int(e.labels is not None)
    if cost.cuda_columns:
        more = p.position, p.losses, labelled, *hits, *cost.cuda_parameters
        return k.columns(cost.cuda_columns[0], m, n, e.a, e.y, *more)
    places = e.a, e.y, e.z, p.position, p.losses
    return k.columns("measure", m, n, *places, labelled, *hits, module=cost_source(cost, e.f))


def weigh_losses(k: Kernels, e: WeighLosses) -> Calls:
    """Multiply each example's loss in the pass by its weight."""
    return k.each("weigh_losses", e.weights.size, e.weights, e.p.losses, e.p.position)


def collect(k: Kernels, e: CollectOutputs) -> Calls:
    """Copy the outputs into the columns of `into` that the pass has come to."""
    return k.each("collect", e.a.size, e.a.shape[0], e.a, e.p.position, e.into)


def advance(k: Kernels, e: Advance) -> Calls:
    """Move the pass m examples further."""
    return k.each("advance", 1, e.m, e.p.position)


def next_step(k: Kernels, e: NextStep) -> Calls:
    """Move the pass one step further."""
    return k.each("advance", 1, 1, e.p.step)


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {
    Gather: gather,
    Distort: distort,
    Measure: measure,
    WeighLosses: weigh_losses,
    CollectOutputs: collect,
    NextStep: next_step,
    Advance: advance,
}
