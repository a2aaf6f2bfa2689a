"""The timeline of a training step: what each of its kernels and products takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from benchmarks.nets import GPU_NETS, MIDDLE, Net
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from benchmarks.probes.watched import Watched
from benchmarks.steps import training_step
from gpunn.backends.cuda.algorithms import CALLS, ROUNDS, timed
from gpunn.backends.cuda.backend import Cuda
from gpunn.functions.calls import Calls

DEFAULT = replace(MIDDLE, sizes=(784, 512, 10))  # of `gpunn train mnist`
NETS: Sequence[Net] = [*GPU_NETS, replace(MIDDLE, batch_size=16), DEFAULT]


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield the calls of a step of each network, and the step as a whole."""
    for net in NETS:
        yield from rows_of(make, net)


def rows_of(make: MakeBackend, net: Net) -> Iterator[Row]:
    """Yield a row for each call, in order, one for their sum and one for the step as a graph."""
    be, watched = watch(make(net.precision))
    calls = be.lower(training_step(be, net))
    each = timed(be.device.timer, calls)
    for call, seconds in zip(calls, each, strict=True):
        bound = watched.describe(call)
        rates = (amount / seconds / 1e12 if amount else None for amount in (bound.flop, bound.nbytes))
        yield row(net, bound.what, bound.size, seconds, *rates)
    yield row(net, "sum of these", f"{len(calls)} calls", sum(each))
    yield row(net, "the step in a graph", f"{len(calls)} calls", seconds_a_step(be, calls))


def watch(be: Cuda) -> tuple[Cuda, Watched]:
    """Return a backend like this one, and its device, which knows what its calls are."""
    watched = Watched(be.device)
    return Cuda(cast(Any, watched), be.memory.precision), watched


def seconds_a_step(be: Cuda, calls: Calls) -> float:
    """Return the shortest time of a step among many in one graph."""
    timer = be.device.timer([*calls] * CALLS)
    return min(timer() for _ in range(ROUNDS)) / CALLS


def row(
    net: Net, what: str, size: str, seconds: float, flops: float | None = None, speed: float | None = None
) -> Row:
    """Return a row of the table."""
    rates = {"TFLOP/s": flops, "TB/s": speed}
    return {"network": label(net), "what": what, "size": size, "µs": 1e6 * seconds, **rates}


PROBE = Probe(
    "timeline",
    "a training step by kernel",
    {
        "network": "the network, its mini-batch and its precision",
        "what": "the kernel or the product, in the order of the step",
        "size": "blocks × threads of a kernel; n × inner × m of a product a (n, inner) · b (inner, m)",
        "µs": f"microseconds a call: the fastest of {ROUNDS} graphs of {CALLS} calls of this kind alone",
        "TFLOP/s": "arithmetic of a product by its time",
        "TB/s": "bytes of the arrays that a kernel is given by its time; each array counts once, even if it "
        "is read and written",
    },
    measure,
)
