"""The persistent kernel: for which networks it is the faster way, and its launch.

A graph of a small network's steps spends most of its time between its kernels. If θ fits into the shared
memory of a few processors, one kernel of persistent.cu does all steps of a chunk instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.memory import CudaMemory
from gpunn.backends.cuda.network import NetworkStep, read_steps
from gpunn.backends.cuda.source import CONSTANTS, constants_of, network_source, rule_source
from gpunn.core.equations import Equation
from gpunn.functions.calls import Calls

THREADS = 512  # in a block
BLOCKS = (1, 2, 4, 8)  # among which the first layer's inputs may be shared out
TILES = (4, 8, 12, 16)  # examples that a thread sums over at once
SCALARS = 8  # that the update's equations may have
PACE = SCALARS + 2  # numbers of a step: the scalars, r0 and r1
LAYER_INTS = 8  # of the kernel's struct Layer
LAYOUT_INTS = 10  # of its struct Layout

# Clocks of a processor, estimated by counting instructions
LAUNCH = 2300  # from one kernel of a graph to the next
EXCHANGE = 1500  # of numbers between the blocks
PHASE = 250  # before and after each product
PRODUCTS_A_CLOCK = 64
ADVANTAGE = 2  # factor by which the persistent kernel must promise to be faster


@dataclass(frozen=True)
class Shape:
    """The size of the task.

    Attributes:
        sizes: (n_0, …, n_L).
        m: examples in a step.
        states: number of the optimizer's states of θ's size.
    """

    sizes: tuple[int, ...]
    m: int
    states: int

    @property
    def tile(self) -> int:
        """Choose the tile that needs the fewest passes and wastes the least."""
        return min(TILES, key=lambda tile: -(-self.m // tile) * (tile + 4))

    @property
    def columns(self) -> int:
        """Round the number of examples up to whole tiles."""
        return -(-self.m // self.tile) * self.tile

    @property
    def row(self) -> int:
        """The distance between rows in shared memory, in elements."""
        return self.columns + (0 if self.columns % 8 else 4)

    def share(self, blocks: int) -> int:
        """The number of inputs of each block."""
        return -(-self.sizes[0] // blocks)

    def layout(self, blocks: int, itemsize: int) -> tuple[np.ndarray, int]:
        """Lay out a block's shared memory: (the kernel's Layout and Layers, the length), all in elements."""
        length = 0

        def take(count: int) -> int:
            nonlocal length
            start, length = length, length + -(-count // 4) * 4  # whole Fours
            return start

        share, n_out, row, double = self.share(blocks), self.sizes[-1], self.row, 8 // itemsize
        x, y = take(2 * (share + 1) * row), take(2 * (n_out + 1) * row)
        sums, constants, pace = take(THREADS * self.tile), take(CONSTANTS), take(2 * PACE)
        powers, layers = take(2 * double), take(len(self.sizes) * LAYER_INTS * 4 // itemsize)
        table = [self.columns, row, share, x, y, sums, constants, pace, powers, layers]
        for n_in, n in pairwise((share, *self.sizes[1:])):
            parameters = [take((n_in + 1) * (n | 1)) for _ in range(1 + self.states)]
            first_second = [*parameters[1:], *parameters[:1] * 2][:2]
            table += [n_in, n, n | 1, parameters[0], *first_second, take((n + 1) * row), take(n * row)]
        return np.array(table, np.int32), length

    def shared_bytes(self, blocks: int, itemsize: int) -> int:
        """The shared memory that a block needs."""
        return self.layout(blocks, itemsize)[1] * itemsize

    def clocks(self, blocks: int) -> float:
        """Estimate how long a step takes."""
        (first, *others), depth = [a * b for a, b in pairwise(self.sizes)], len(self.sizes) - 1
        products = (2 * first / blocks + 3 * sum(others)) * self.columns
        return products / PRODUCTS_A_CLOCK + 3 * depth * PHASE + (EXCHANGE if blocks > 1 else 0)

    def clocks_of_a_graph(self) -> float:
        """Estimate how long a graph's launches alone take."""
        return (5 * (len(self.sizes) - 1) - 2) * LAUNCH

    def blocks(self, memory: CudaMemory) -> int | None:
        """Choose the number of blocks; None if they have no room, or if a graph is as good."""
        able = [
            k
            for k in BLOCKS
            if k <= memory.device.processors
            and (k - 1) * self.share(k) < self.sizes[0]
            and self.shared_bytes(k, memory.dtype.itemsize) <= memory.device.shared_bytes
        ]
        best = min(able, key=self.clocks, default=None)
        return best if best and self.clocks(best) * ADVANTAGE <= self.clocks_of_a_graph() else None


@dataclass(eq=False, slots=True)
class WholeNetwork(Equation):
    """Network: all steps of a chunk, from a[1] = f(w[1] a[0] + b[1]) to the move of θ

    steps: the equations that it stands for. shape and blocks: the size of the task, and how it is shared out.
    m: the examples of all steps.
    """

    steps: list[NetworkStep]
    shape: Shape
    blocks: int
    m: int


def whole_network(k: Kernels, equations: Sequence[Equation]) -> list[Equation]:
    """Replace a chunk's steps by one record, if they are recognised and one kernel is the faster way."""
    found = read_steps(equations)
    if found is None or not found[1]:
        return list(equations)
    start, steps, end = found
    first, batches = steps[0], [step.error.out.shape[1] for step in steps]
    sizes = (first.forward[0].a.shape[0], *(e.z.shape[0] for e in first.forward))
    shape = Shape(sizes, batches[0], len(first.motion.states))
    if not spelled(first) or len(first.motion.scalars) > SCALARS or not alike(steps, batches):
        return list(equations)
    if (blocks := shape.blocks(k.memory)) is None:
        return list(equations)
    return [*equations[:start], WholeNetwork(steps, shape, blocks, sum(batches)), *equations[end:]]


def spelled(step: NetworkStep) -> bool:
    """Whether f[1]…f[L] and the cost have a C spelling: all elementwise, or softmax last with its cost."""
    *hidden, last = (e.f for e in step.forward)
    cost = step.error.cost
    if any(e.a.scale != 1 for e in step.forward):
        return False
    output = last.cuda is not None or cost.pairs(last)
    return cost.cuda is not None and output and all(f.cuda for f in hidden)


def alike(steps: list[NetworkStep], batches: list[int]) -> bool:
    """Whether the steps differ only in their examples, which lie side by side; the last may be shorter."""
    first, m, last = steps[0], batches[0], batches[-1]
    if set(batches[:-1]) - {m} or last > m:
        return False
    for k, step in enumerate(steps):
        motion = step.motion
        same = (
            step.rates is first.rates
            and step.error.cost is first.error.cost
            and [(e.theta, e.f) for e in step.forward] == [(e.theta, e.f) for e in first.forward]
            and (motion.statements, motion.step) == (first.motion.statements, first.motion.step)
            and motion.states == first.motion.states
            and (k == len(steps) - 1 or motion.scalars == first.motion.scalars)
        )
        pairs = zip(examples_of(step), examples_of(first), strict=True)
        if not same or not all(follows(mine, theirs, k * m) for mine, theirs in pairs):
            return False
    return True


def examples_of(step: NetworkStep) -> list[Buffer | None]:
    """The buffers of a step that hold its own examples: x, y, weights, z and a."""
    weights = step.weights and step.weights.weights
    return [step.forward[0].a, step.error.y, weights, step.error.z, step.error.a]


def follows(buffer: Buffer | None, first: Buffer | None, columns: int) -> bool:
    """Whether the buffer lies so many columns behind the first."""
    if buffer is None or first is None:
        return buffer is first
    return buffer.pointer == first.columns(columns, columns).pointer


def launch(k: Kernels, e: WholeNetwork) -> Calls:
    """Bind one launch of the persistent kernel."""
    step, memory, itemsize = e.steps[0], k.memory, k.memory.dtype.itemsize
    theta, motion, rates = step.forward[0].theta, step.motion, step.rates
    x, y, weights, z, a = (b and b.columns(0, e.m) for b in examples_of(step))
    assert x
    offsets = memory.put(np.array([*e.shape.sizes, *theta.layout.blocks(itemsize)[0]]), np.int64)
    layout, length = e.shape.layout(e.blocks, itemsize)
    words = memory.put(np.zeros(1 + 2 * e.blocks * e.shape.sizes[1] * e.shape.m * itemsize // 4), np.uint64)
    numbers = memory.put(numbers_of(e), np.float64)
    first, second = [*(state.flat for state in motion.states), theta.flat, theta.flat][:2]
    scheduled = (1, rates.p.etas, rates.p.step) if rates else (0, numbers, memory.put(np.zeros(1), np.int64))
    counted = motion.step and motion.step.steps
    arguments = k.arguments(
        e.m, e.shape.m, len(e.shape.sizes) - 1, offsets, memory.put(layout, np.int32), numbers,
        theta.flat, first, second, *scheduled, numbers if counted is None else counted,
        x, x.ld, y, int(weights is not None), memory.zero if weights is None else weights, z, a, words,
    )  # fmt: skip
    kernel = k.compiled(source_of(e), persistent=True)("train")
    return [k.device.launch(kernel, e.blocks, THREADS, arguments, length * itemsize)]


def numbers_of(e: WholeNetwork) -> np.ndarray:
    """η, the rule's constants, and every scalar's p and q: for whole mini-batches, and for the last."""
    motion, last = e.steps[0].motion, e.steps[-1].motion
    eta = motion.scalars[0].scalars.eta
    constants = constants_of(motion.step.rule) if motion.step else [0.0] * CONSTANTS
    numbers = np.zeros(1 + CONSTANTS + 4 * SCALARS)
    numbers[: 1 + CONSTANTS] = eta, *constants
    for start, scalars in ((1 + CONSTANTS, motion.scalars), (1 + CONSTANTS + 2 * SCALARS, last.scalars)):
        pairs = [x for scalar in scalars for x in (scalar.p, scalar.q)]
        numbers[start : start + len(pairs)] = pairs
    return numbers


def source_of(e: WholeNetwork) -> str:
    """The definitions for persistent.cu: the network, how θ moves, and the shared constants."""
    *hidden, last = (forward.f for forward in e.steps[0].forward)
    motion = e.steps[0].motion
    rule = rule_source(motion.step.rule) if motion.step else f"#define STATES {len(motion.states)}\n"
    return rule + network_source(
        hidden,
        e.steps[0].error.cost,
        last,
        MOVE=motion.statements,
        MOVE_SCALARS=len(motion.scalars),
        **shared_constants(e.shape.tile),
    )


def shared_constants(tile: int) -> dict[str, int]:
    """The constants that persistent.cu and this module share."""
    return {
        "TILE": tile,
        "NETWORK_THREADS": THREADS,
        "MOST_BLOCKS": max(BLOCKS),
        "CONSTANTS": CONSTANTS,
        "SCALARS": SCALARS,
        "LAYER_INTS": LAYER_INTS,
        "LAYOUT_INTS": LAYOUT_INTS,
    }


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {WholeNetwork: launch}
