"""The persistent kernel: for which networks it is the quicker way, and its launch.

A graph of a small network's steps spends most of its time between its kernels. Where θ fits into the shared
memory of a few processors, one kernel of persistent.cu does a whole plan's steps instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gpunn.backends.cuda.memory import Launch, Storage
from gpunn.backends.cuda.source import persistent_source
from gpunn.core.backend import RULES, Gathered, Rule
from gpunn.core.parameters import Parameters
from gpunn.functions.activations import Activation
from gpunn.functions.calls import Calls
from gpunn.functions.costs import Cost

THREADS = 512  # in a block
BLOCKS = (1, 2, 4, 8)  # among which the first layer's inputs may be shared out
TILES = (4, 8, 12, 16)  # examples for which a thread adds up at once
NUMBERS = 8  # that a rule may have, l2 and l1 among them
LAYER_BYTES = 32  # of the struct

# By counting instructions, and not yet measured: clocks of a processor
LAUNCH = 2300  # from one kernel of a graph to the next
EXCHANGE = 1500  # of numbers between the blocks
PHASE = 250  # before and after each product
PRODUCTS_A_CLOCK = 64
ADVANTAGE = 2  # that the persistent kernel must promise


@dataclass(frozen=True)
class Shape:
    """What it would have to do: sizes (n_0, …, n_L), m examples a step, and so many states of θ's size."""

    sizes: tuple[int, ...]
    m: int
    states: int

    @property
    def tile(self) -> int:
        """The one of which the examples make the fewest and fullest."""
        return min(TILES, key=lambda tile: -(-self.m // tile) * (tile + 4))

    @property
    def columns(self) -> int:
        """The examples, in whole tiles."""
        return -(-self.m // self.tile) * self.tile

    def share(self, blocks: int) -> int:
        """How many of the inputs a block has."""
        return -(-self.sizes[0] // blocks)

    def shared_bytes(self, blocks: int, itemsize: int) -> int:
        """What a block needs of shared memory, as persistent.cu takes it."""
        row = self.columns + (0 if self.columns % 8 else 4)
        share, n_out = self.share(blocks), self.sizes[-1]
        taken = [2 * (share + 1) * row, 2 * (n_out + 1) * row]
        taken += [THREADS * self.tile, NUMBERS, 8, 4, len(self.sizes) * LAYER_BYTES // itemsize]
        for n_in, n in pairwise((share, *self.sizes[1:])):
            taken += [(n_in + 1) * (n | 1)] * (1 + self.states) + [(n + 1) * row, n * row]
        return sum(-(-count // 4) * 4 for count in taken) * itemsize

    def clocks(self, blocks: int) -> float:
        """How long a step takes, about."""
        (first, *others), depth = [a * b for a, b in pairwise(self.sizes)], len(self.sizes) - 1
        products = (2 * first / blocks + 3 * sum(others)) * self.columns
        return products / PRODUCTS_A_CLOCK + 3 * depth * PHASE + (EXCHANGE if blocks > 1 else 0)

    def clocks_of_a_graph(self) -> float:
        """What a graph's launches alone take."""
        return (5 * (len(self.sizes) - 1) - 2) * LAUNCH

    def blocks(self, be: Storage) -> int | None:
        """How many are best; None where they have no room, or where a graph will do as well."""
        able = [
            k
            for k in BLOCKS
            if k <= be.device.processors
            and (k - 1) * self.share(k) < self.sizes[0]
            and self.shared_bytes(k, be.dtype.itemsize) <= be.device.shared_bytes
        ]
        best = min(able, key=self.clocks, default=None)
        return best if best and self.clocks(best) * ADVANTAGE <= self.clocks_of_a_graph() else None


def spelled(f: Sequence[Activation], cost: Cost) -> bool:
    """Whether there is a C spelling of f[1]…f[L] and the cost: all by element, or softmax paired at last."""
    output = f[-1].cuda is not None or cost.pairs_with == f[-1].name
    return cost.cuda is not None and output and all(g.cuda for g in f[:-1])


def all_steps(
    be: Storage,
    theta: Parameters,
    f: Sequence[Activation],
    cost: Cost,
    rule: Rule,
    chunk: Gathered,
    p: Any,
    scheduled: bool,
) -> Calls | None:
    """One launch that does all steps of the chunk; None where it is not the way."""
    shape = Shape(theta.layout.sizes, chunk.batches[0], len(rule.states))
    if not spelled(f, cost) or (blocks := shape.blocks(be)) is None:
        return None
    m, itemsize = sum(chunk.batches), be.dtype.itemsize
    n_1, first, second = shape.sizes[1], *(*rule.states, theta.flat, theta.flat)[:2]
    places = be._put(np.array([*shape.sizes, *theta.layout.blocks(itemsize)[0]]), np.int64)
    numbers = np.zeros(NUMBERS)
    numbers[: 2 + len(rule.numbers)] = rule.l2, rule.l1, *rule.numbers
    words = be._put(np.zeros(1 + 2 * blocks * n_1 * shape.m * itemsize // 4), np.uint64)
    rates = be._cell(rule.eta), int(scheduled), p.etas, p.step, rule.steps or p.etas
    weighted = int(chunk.weights is not None), be.zero if chunk.weights is None else chunk.weights
    arguments = (
        m, shape.m, len(shape.sizes) - 1, places,
        RULES.index(rule.name), len(rule.states), be._put(numbers, np.float64),
        theta.flat, first, second, *rates, chunk.x, chunk.y, *weighted, chunk.z, chunk.a, words,
    )  # fmt: skip
    bound = tuple(be._argument(x) for x in arguments)
    module = persistent_source(f[:-1], cost, f[-1], shape.tile)
    kernel = be._compiled(module, persistent=True)("train")
    run = be.device.launch(kernel, blocks, THREADS, bound, shape.shared_bytes(blocks, itemsize))
    return [Launch("train", bound, module, run)]
