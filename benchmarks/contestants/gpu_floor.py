"""The floor on a GPU: the least time of a training step, from two ceilings measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.contestants.base import Skipped, Weights
from benchmarks.contestants.floor import products
from benchmarks.nets import Net, Problem
from gpunn import backends
from gpunn.backends import explain_cuda
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import Product
from gpunn.backends.cuda.source import layer_source
from gpunn.core.backprop import backpropagate, feedforward
from gpunn.core.optimizers import SGD
from gpunn.core.plan import BoundModel
from gpunn.core.vector_equations import RefreshLowPrecision
from gpunn.core.workspace import Chunk

LARGE = 8192  # rows and columns of the matrices that measure the arithmetic ceiling
COPIED = 1 << 30  # bytes in the copy that measures the memory ceiling
TIMES = 10  # calls per timing
WARM = 0.3  # seconds to bring up the GPU's clocks
SECONDS_A_KERNEL = 1.3e-6  # estimate for an empty kernel within a graph


@dataclass(frozen=True)
class Ceilings:
    """FLOP/s of a large product, and bytes/s (read plus written) of a large copy."""

    flop_per_second: float
    bytes_per_second: float


@cache
def ceilings(be: Cuda) -> Ceilings:
    """Measure the ceilings of this device in the backend's precision."""
    n, nbytes, rng = LARGE, COPIED, np.random.default_rng(0)
    memory = be.memory
    a, b = (memory.operand(n, n) for _ in range(2))
    order, module = memory.put(np.arange(n), np.int64), layer_source(a.dtype)
    for operand in (a, b):
        numbers = memory.upload(rng.random((n, n), np.float32).T - np.float32(0.5))
        places = operand.ld, numbers, order, order, 1.0, operand
        be.kernels.columns("gather_values", n, n, *places, module=module)[0]()
    product = be.kernels.product(Product(memory.one, a, b, memory.zero, memory.operand(n, n)))
    source, target = (memory.new((nbytes,), np.uint8) for _ in range(2))
    return Ceilings(
        2 * n**3 / seconds(be, product),
        2 * nbytes / seconds(be, lambda: be.device.copy(target.pointer, source.pointer, nbytes)),
    )


def seconds(be: Cuda, call: Callable[[], object]) -> float:
    """Return the shortest time per call on the warm device."""

    def time_calls() -> float:
        be.device.mark()()
        start = time.perf_counter()
        for _ in range(TIMES):
            call()
        be.device.mark()()
        return (time.perf_counter() - start) / TIMES

    warm = time.perf_counter() + WARM
    while time.perf_counter() < warm:
        time_calls()
    return min(time_calls() for _ in range(5))


def kernels(be: Cuda, net: Net) -> int:
    """Count the kernels that gpunn launches per step in a graph.

    Launches shared by a chunk of steps are not counted. Small networks use the persistent kernel instead.
    """
    network, m = net.build(), net.batch_size
    model: BoundModel = network.bind(be)
    examples = be.data.examples(np.zeros((net.sizes[0], m), np.uint8), np.zeros(m, int), None)
    update = SGD(net.learning_rate).bind(be, model.theta)
    chunk = Chunk(
        be.memory, examples, network.layout, model.f[1:], model.cost, [m], model.dropout, True, True
    )
    batch = next(chunk.mini_batches())
    forth = feedforward(model.theta, model.f, batch, be.data.new_pass(m))
    back = backpropagate(model.theta, model.f, model.cost, update, batch)
    return len(be.lower([RefreshLowPrecision(model.theta), *forth, *back]))


class GpuFloor:
    """The least time of a step: the maximum of three bounds.

    The bounds are the products' FLOP at the arithmetic ceiling, their operands' bytes at the memory ceiling,
    and an empty kernel's time for each kernel in a step's graph. A persistent kernel can beat the third
    bound. Nothing is trained; `seconds` returns the least time.
    """

    def __init__(self, problem: Problem, precision: str = "float32") -> None:
        if reason := explain_cuda():
            raise Skipped(f"no CUDA device: {reason}")
        net, self.max_examples = problem.net, problem.data.X.shape[1]
        self.batch_size = net.batch_size
        be: Any = backends.choose("cuda", "float32", precision)
        found, step = ceilings(be), products(net.sizes, net.batch_size)
        flop, launched = sum(product.flops for product in step), kernels(be, net)
        moved = sum(p.rows * p.inner + p.inner * p.columns + p.rows * p.columns for p in step)
        moved *= be.memory.operand_dtype.itemsize
        bounds = {
            "arithmetic": flop / found.flop_per_second,
            "memory": moved / found.bytes_per_second,
            "kernels": launched * SECONDS_A_KERNEL,
        }
        self.step = max(bounds.values())
        self.facts = {**vars(found), "flop": flop, "bytes": moved, "kernels": launched, "seconds": bounds}

    def seconds(self, m: int, epochs: int) -> float:
        return m // self.batch_size * epochs * self.step

    def weights(self) -> Weights:
        raise NotImplementedError("the floor does not train")
