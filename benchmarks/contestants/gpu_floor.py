"""The floor on a GPU: the least time of a training step, from three ceilings measured in the same run."""

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
from benchmarks.probes.launches import seconds_a_kernel
from benchmarks.steps import training_step
from gpunn import backends
from gpunn.backends import explain_cuda
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import Product
from gpunn.backends.cuda.source import layer_source

LARGE = 8192  # rows and columns of the matrices that measure the arithmetic ceiling
COPIED = 1 << 30  # bytes in the copy that measures the memory ceiling
TIMES = 10  # calls per timing
WARM = 0.3  # seconds to bring up the GPU's clocks
FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Ceilings:
    """FLOP/s of a large product, bytes/s (read plus written) of a large copy, and an empty kernel's time."""

    flop_per_second: float
    bytes_per_second: float
    seconds_a_kernel: float


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
        seconds_a_kernel(be),
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


def bytes_moved(net: Net, operand: int) -> dict[str, int]:
    """Count the bytes that a step has to move, with operands of so many bytes.

    Products read their operands and write their results. The update reads and writes θ in float32, Nesterov's
    velocity too, and writes the copy of θ that products read if that is another type. BP4's result is not
    counted beside it, since it lands in θ or in the velocity.
    """
    step, parameters = products(net.sizes, net.batch_size), net.build().parameters
    moved = sum(p.rows * p.inner + p.inner * p.columns for p in step)
    moved += sum(p.rows * p.columns for p in step if p.kind != "BP4")
    arrays = 4 if net.momentum else 2
    copied = 0 if operand == FLOAT32 else operand
    return {"products": moved * operand, "update": parameters * (arrays * FLOAT32 + copied)}


class GpuFloor:
    """The least time of a step: the maximum of three bounds.

    The bounds are the products' FLOP at the arithmetic ceiling, the bytes of the products and the update at
    the memory ceiling, and an empty kernel's time for each kernel that gpunn has in a step's graph. A kernel
    that does many steps can beat the third bound. Nothing is trained; `seconds` returns the least time.
    """

    def __init__(self, problem: Problem, precision: str = "float32") -> None:
        if reason := explain_cuda():
            raise Skipped(f"no CUDA device: {reason}")
        net, self.max_examples = problem.net, problem.data.X.shape[1]
        self.batch_size = net.batch_size
        be: Any = backends.choose("cuda", "float32", precision)
        found, step = ceilings(be), products(net.sizes, net.batch_size)
        flop, launched = sum(product.flops for product in step), len(be.lower(training_step(be, net)))
        moved = bytes_moved(net, be.memory.operand_dtype.itemsize)
        bounds = {
            "arithmetic": flop / found.flop_per_second,
            "memory": sum(moved.values()) / found.bytes_per_second,
            "kernels": launched * found.seconds_a_kernel,
        }
        self.step = max(bounds.values())
        self.facts = {**vars(found), "flop": flop, "bytes": moved, "kernels": launched, "seconds": bounds}

    def seconds(self, m: int, epochs: int) -> float:
        return m // self.batch_size * epochs * self.step

    def weights(self) -> Weights:
        raise NotImplementedError("the floor does not train")
