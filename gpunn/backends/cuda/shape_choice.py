"""The choice of the resident kernel's shape, by an estimate of how long a step takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from operator import itemgetter

from gpunn.backends.cuda.shapes import PLACES, Shape, Task, up
from gpunn.backends.cuda.source import LANES

THREADS = (512, 384, 256, 128, 64)  # that a block may have
MOST_COLUMNS = 64  # of a tile
REGISTERS = 65536  # of a multiprocessor
RESERVED = 1024  # bytes of shared memory that the driver takes from each block
RESIDENT = 8  # blocks that share a multiprocessor at most
GRIDS = (4, 8, 14, 16)  # blocks of a network in a grid; 784 = 14 · 56
SLACK = 8  # registers of a thread by which their estimate may err
CLOSE, TRIALS = 1.75, 3  # a shape is worth a trial up to CLOSE times the least estimate; the most trials

# Clocks, estimated by counting instructions; a multiprocessor begins four instructions in a clock, and one
# access to shared memory
PHASE = 120  # a barrier, and the latency of what is before and after it
STALLS = 3.0  # clocks from one instruction of a warp to its next
CLOCK = 1800  # clocks in a µs

# µs of an exchange through distributed shared memory: a constant, for each block, and for each number that a
# block sends. prim.txt, measured on an H200: with 8 blocks 0.55 for 256 numbers, 0.82 for 1,024, 1.95 for
# 4,096; with 4 blocks 0.44 for 128, 1.10 for 2,048
CLUSTER = 0.35, 0.02, 0.0004

# … and through device memory: a barrier of 8 blocks takes 0.66, of 132 blocks 0.89. The rest is estimated:
# writes and then reads wait for the cache, which takes 64 bytes of a block in a clock
GRID = 2.0, 0.002, 0.00008

# µs of a step in a graph, by layer and by example. persistent.txt, measured on an H200, has 21.5 for
# 784-30-10 at 10, 25.5 for 30-16-16-2 at 16 and 38 for 64-100-10 at 200, the most examples. By prototypes.txt
# a head saves 10 to 19 of them
GRAPH_LAYER, GRAPH_EXAMPLE, MOST_MEASURED = 7.5, 0.05, 200


@dataclass
class Clocks:
    """How long a block's work takes, and for how long it keeps the multiprocessor busy."""

    shape: Shape
    latency: float = 0.0
    busy: float = 0.0

    def phase(self, loads: float, others: float, active: float = 1.0) -> None:
        """Add the work of each active warp: accesses to shared memory, and other instructions."""
        work = active * self.shape.threads / LANES * max(loads, (loads + others) / 4)
        self.busy += work
        self.latency += PHASE + max(work, STALLS * (loads + others))

    def multiply(self, rows: int, inner: int) -> None:
        """Add a product, which resident.cu divides among the threads."""
        threads, columns = self.shape.threads, self.shape.columns
        each = 0 if columns % 8 else rows * columns // threads
        r, q = 1 + (each >= 16), 8 if each >= 8 else 4
        tasks = up(rows, r) * columns / q
        rounds = up(int(tasks), threads)
        self.phase(rounds * inner * (r + q / 4), rounds * inner * r * q, tasks / (rounds * threads))

    def first_in_registers(self, own: int, groups: int, n: int) -> None:
        """Add the sums over a thread's own inputs, and those over the threads of a unit."""
        columns = self.shape.columns
        each = n * columns / self.shape.threads
        self.phase(own * columns / 4 + columns, own * columns)
        self.phase(each * groups, each * (groups + 40))


def tile_clocks(shape: Shape) -> Clocks:
    """Estimate a tile."""
    clocks, columns = Clocks(shape), shape.columns
    moved = 1 if shape.movers > 1 else 4 + 8 * shape.task.states
    for l, (n_in, n) in enumerate(shape.layers, 1):
        own = shape.own(n_in, n)
        if l == 1 and shape.first_in_registers:
            clocks.first_in_registers(own, shape.groups(n_in, n), n)
        else:
            clocks.multiply(n, n_in)
        if l > 1:
            clocks.multiply(n_in, n)
            clocks.latency -= PHASE  # of learning, which needs no barrier of its own
        clocks.phase(own * columns / 4 * 1.25 + own, own * columns + own * moved)
    clocks.latency += 2 * PHASE  # the last layer's lanes meet, and the next tile arrives
    if shape.blocks > shape.movers:
        clocks.latency += exchange(shape, shape.exchanged // 2)
    return clocks


def exchange(shape: Shape, numbers: int) -> float:
    """Estimate the clocks of an exchange: each block sends that many numbers, and all blocks meet."""
    constant, each_block, each_number = GRID if shape.grid else CLUSTER
    return CLOCK * (constant + each_block * shape.blocks + each_number * numbers)


def microseconds(shape: Shape, networks_each: int) -> float:
    """Estimate the µs of a step with `networks_each` networks on each multiprocessor."""
    tile, settled = tile_clocks(shape), Clocks(shape)
    if shape.movers > 1:
        work = shape.slots * (2 * shape.movers + 4 + 8 * shape.task.states)
        settled.phase(shape.slots * 2 * shape.movers, work)
        settled.latency += 2 * exchange(shape, shape.exchanged)
    latency = shape.tiles * tile.latency + settled.latency
    busy = shape.tiles * tile.busy + settled.busy
    whole, rest = divmod(networks_each, shape.resident)
    waves = [shape.resident] * whole + [rest] * (rest > 0)
    return sum(max(latency, together * busy * 1.2) for together in waves) / CLOCK


def tile_sizes(m: int) -> list[int]:
    """Return the numbers of columns that a tile may have for m examples, multiples of 4."""
    return sorted({up(up(m, tiles), 4) * 4 for tiles in range(up(m, MOST_COLUMNS), up(m, 8) + 1)})


def shapes(task: Task, shared_bytes: int, cluster: int = 1, grid: int = 1) -> Iterator[Shape]:
    """Yield every shape that does the task on a multiprocessor with `shared_bytes` for a block.

    cluster, grid: the most blocks of a network in a cluster, or in a grid.
    """
    places = PLACES if task.states else PLACES[:1]
    for threads, first, buffers, place in product(THREADS, (True, False), (2, 1), places):
        if max(task.sizes[1:]) > threads:
            continue
        one = Shape(task, threads, 0, first, buffers, place)
        together = (replace(one, resident=count) for count in range(2, RESIDENT + 1))
        clusters = (replace(one, blocks=blocks) for blocks in range(2, cluster + 1))
        grids = (replace(one, blocks=blocks, grid=True) for blocks in GRIDS if blocks <= grid)
        for shape in (one, *together, *filter(can_be_shared_out, (*clusters, *grids))):
            tiled = (replace(shape, columns=columns) for columns in tile_sizes(shape.examples))
            yield from (shape for shape in tiled if shape.columns <= threads and fits(shape, shared_bytes))


def can_be_shared_out(shape: Shape) -> bool:
    """Whether the blocks can have equal shares, with their states on the chip."""
    equal = not shape.first_in_registers or shape.task.sizes[0] % shape.blocks == 0
    return equal and shape.states_in != "IN_MEMORY"


def fits(shape: Shape, shared_bytes: int) -> bool:
    """Whether a multiprocessor has the shared memory and the registers for its blocks."""
    room = min(shared_bytes, (shared_bytes + RESERVED) // shape.resident - RESERVED)
    registers = min(255, REGISTERS // shape.threads // shape.resident)
    return shape.shared_bytes <= room and shape.registers <= registers - SLACK


@lru_cache(maxsize=256)
def best_shapes(
    task: Task, shared_bytes: int, networks_each: int, cluster: int = 1, grid: int = 1
) -> tuple[Shape, ...]:
    """Choose shapes for the task with `networks_each` networks on each multiprocessor, quickest first.

    There is one shape for each way to share out the work, in a cluster or a grid, if the estimates are close.
    """
    best: dict[tuple[str, bool], tuple[float, Shape]] = {}
    for shape in shapes(task, shared_bytes, cluster, grid):
        time, kind = microseconds(shape, networks_each), (shape.shared_out, shape.grid)
        if time < best.get(kind, (math.inf,))[0]:
            best[kind] = time, shape
    found = sorted(best.values(), key=itemgetter(0))
    return tuple(shape for time, shape in found[:TRIALS] if time <= CLOSE * found[0][0])


def quicker_than_a_graph(shape: Shape) -> bool:
    """Whether the kernel is the faster way to train a network alone, by the figures of an H200."""
    layers = len(shape.task.sizes) - 1
    return microseconds(shape, 1) <= GRAPH_LAYER * layers + GRAPH_EXAMPLE * min(shape.task.m, MOST_MEASURED)
