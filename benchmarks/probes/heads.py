"""Last layers: the head's kernel in every way to share it out, and separate launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest.mock import patch

from benchmarks.nets import GPU_NETS, MIDDLE, Net
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from benchmarks.probes.timeline import DEFAULT, seconds_a_step
from benchmarks.steps import training_step
from gpunn.backends.cuda import backend, head_ways
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.head import Head, equations_of, heads
from gpunn.backends.cuda.head_ways import Way
from gpunn.core.equations import Equation

NETS: Sequence[Net] = [*GPU_NETS, replace(MIDDLE, batch_size=16), DEFAULT]


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield a row for each way that the device has, and one for separate launches."""
    for net in NETS:
        be = make(net.precision)
        equations = training_step(be, net)
        if found := head_in(be, equations):
            yield from rows_of(be, net, equations, found)


def head_in(be: Cuda, equations: Sequence[Equation]) -> Head | None:
    """Return the head among the equations, if there is one."""
    return next((e for e in heads(be.kernels, equations) if isinstance(e, Head)), None)


def rows_of(be: Cuda, net: Net, equations: Sequence[Equation], found: Head) -> Iterator[Row]:
    """Yield the rows of one network."""
    own = found.way
    for way in list(head_ways.ways(own.n, own.n_in, own.m, own.itemsize, be.device)):
        with patch.multiple(head_ways, WAYS=[(way.blocks, way.cluster)], SEPARATE=(float("inf"), 0)):
            head = head_in(be, equations)
        if head:
            kind = "one block" if way.cluster == 1 else "a cluster" if way.cluster else "a grid"
            yield row(net, kind, way, seconds_a_step(be, be.lower([head])), chosen=way == own)
    with patch.object(backend, "heads", lambda _, equations, faster: list(equations)):
        separate = be.lower(equations_of(found))
    yield row(net, f"{len(separate)} launches and products", None, seconds_a_step(be, separate))


def row(net: Net, what: str, way: Way | None, seconds: float, chosen: bool = False) -> Row:
    """Return a row of the table."""
    estimate = {"blocks": way and way.blocks, "estimated, µs": way and way.microseconds}
    return {"network": label(net), "what": what, **estimate, "µs": 1e6 * seconds, "chosen": chosen}


PROBE = Probe(
    "heads",
    "a last layer, from its feedforward to its gradient",
    {
        "network": "the network, its mini-batch and its precision",
        "what": "the head's kernel in one block, a cluster or a grid; or separate launches",
        "blocks": "blocks of the launch",
        "estimated, µs": "microseconds by the estimate that chooses the way; it leaves out the launch",
        "µs": "microseconds: the fastest of a few graphs of many steps",
        "chosen": "whether gpunn takes this way",
    },
    measure,
)
