"""The shape of the resident kernel: how a network is laid out in a block, and how long a step then takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product

from gpunn.backends.cuda.source import CONSTANTS, LANES

THREADS = (512, 384, 256, 128, 64)  # that a block may have
MOST_COLUMNS = 64  # of a tile
SCALARS = 8  # that the update's equations may have, of one network or of several
REGISTERS = 65536  # of a multiprocessor
RESERVED = 1024  # bytes of shared memory that the driver takes from each block
RESIDENT = 8  # blocks that share a multiprocessor at most
BESIDE = 54  # registers of a thread beside those for which `registers` accounts
SLACK = 8  # registers by which that estimate may err
PLACES = ("IN_REGISTERS", "IN_SHARED", "IN_MEMORY")  # of the optimizer's states

# Clocks, estimated by counting instructions; a multiprocessor begins four instructions in a clock, and one
# access to shared memory
PHASE = 120  # a barrier, and the latency of what is before and after it
STALLS = 3.0  # clocks from one instruction of a warp to its next
CLOCK = 1800  # clocks in a µs

# µs of a step in a graph, by layer and by example, fitted to persistent.txt, which was measured on an H200:
# 21.5 for 784-30-10 at 10, 25.5 for 30-16-16-2 at 16, 38 for 64-100-10 at 200
GRAPH_LAYER, GRAPH_EXAMPLE = 11.0, 0.08


def up(a: int, b: int) -> int:
    """⌈a/b⌉."""
    return -(-a // b)


@dataclass(frozen=True)
class Task:
    """The task of a block.

    Attributes:
        sizes: (n_0, …, n_L).
        m: examples in a step.
        states: number of the optimizer's states of θ's size.
        itemsize: bytes of a number.
        packed: inputs in a word, as they are read from device memory.
        labelled: whether there are labels; else there are targets.
    """

    sizes: tuple[int, ...]
    m: int
    states: int
    itemsize: int
    packed: int
    labelled: bool


@dataclass(frozen=True)
class Shape:
    """How a block does its task, as resident.cu describes it.

    Attributes:
        columns: examples in a tile.
        first_in_registers: w[1] lies in registers, and its inputs are shared out among the threads.
        buffers: for x: 2 if the next tile's x can be written while this one's is still in use.
        states_in: where the optimizer's states are, one of PLACES.
        resident: blocks that share a multiprocessor.
        cluster: blocks of a network, which share out the inputs of the first layer.
    """

    task: Task
    threads: int
    columns: int
    first_in_registers: bool
    buffers: int
    states_in: str
    resident: int = 1
    cluster: int = 1

    @property
    def inputs(self) -> int:
        """The inputs of a block."""
        return self.task.sizes[0] // self.cluster

    @property
    def packed(self) -> int:
        """The inputs in a word, as they are read from device memory."""
        return self.task.packed if self.inputs % self.task.packed == 0 else 1

    @property
    def row(self) -> int:
        """The distance of rows: an odd number of Fours, so that rows start in different banks."""
        return self.columns if self.columns % 8 else self.columns + 4

    @property
    def tiles(self) -> int:
        return up(self.task.m, self.columns)

    @property
    def layers(self) -> Iterator[tuple[int, int]]:
        """(n_in, n) of each layer, in a block."""
        return pairwise((self.inputs, *self.task.sizes[1:]))

    def groups(self, n_in: int, n: int) -> int:
        """The threads that own the parameters of one unit."""
        return min(self.threads // n, n_in + 1)

    def own(self, n_in: int, n: int) -> int:
        """The parameters of a layer that a thread owns."""
        return up(n_in + 1, self.groups(n_in, n))

    @property
    def loads(self) -> int:
        """The words of the next tile that a thread loads."""
        return up(up(self.inputs // self.packed, 8) * 8 * self.columns, self.threads)

    @property
    def shared_bytes(self) -> int:
        """The shared memory of a block, as resident.cu lays it out."""
        task, row = self.task, self.row
        numbers = self.buffers * (self.inputs + 1) * row
        numbers += self.first_in_registers * self.columns * self.threads
        numbers += (self.cluster > 1) * 2 * self.cluster * task.sizes[1] * self.columns
        for l, (n_in, n) in enumerate(self.layers, 1):
            if l > 1 or not self.first_in_registers:
                numbers += up((n | 1) * (n_in + 1), 4) * 4
            numbers += n * row + (l < len(task.sizes) - 1) * (n + 1) * row
            if self.states_in == "IN_SHARED":
                numbers += task.states * self.own(n_in, n) * self.threads
        four = 4 * 8
        return up(numbers * task.itemsize, four) * four + self._extras()

    def _extras(self) -> int:
        """The size of the kernel's struct Extras."""
        task, columns = self.task, self.columns
        before = 17 * 8 + 2 * 8 + (CONSTANTS + 3 + 2 * (SCALARS + 2)) * task.itemsize
        size = before + 2 * 2 * columns * 4 + 2 * columns * task.itemsize
        size += 0 if task.labelled else 2 * columns * task.sizes[-1] * task.itemsize
        return up(size, 8) * 8

    @property
    def constants(self) -> dict[str, object]:
        """The constants of resident.cu that follow from the shape."""
        task = self.task
        return {
            "SIZES": ", ".join(map(str, task.sizes)),
            "DEPTH": len(task.sizes) - 1,
            "BATCH": task.m,
            "PER_WORD": self.packed,
            "SCALARS": SCALARS,
            "CONSTANTS": CONSTANTS,
            "WIDTH": self.threads,
            "COLUMNS": self.columns,
            "ROW": self.row,
            "FIRST_IN_REGISTERS": int(self.first_in_registers),
            "BUFFERS": self.buffers,
            "STATES_IN": self.states_in,
            "RESIDENT": self.resident,
            "CLUSTER": self.cluster,
            "SHARED": self.shared_bytes,
        }

    @property
    def registers(self) -> int:
        """An estimate of the registers that a thread needs."""
        task, words = self.task, self.task.itemsize // 4
        each = (self.tiles > 1) + (task.states if self.states_in == "IN_REGISTERS" else 0)
        numbers = sum(each * self.own(*layer) for layer in self.layers)
        if self.first_in_registers:
            numbers += self.own(*next(self.layers))
        work = max(min(self.columns, 16) + 8, 24) + 6 * (self.states_in == "IN_SHARED")
        loads = self.loads * (1 if self.packed > 1 else words)
        return BESIDE + loads + (numbers + work) * words

    def clocks(self) -> tuple[float, float]:
        """Estimate a step: (how long it takes, for how long it keeps the multiprocessor busy)."""
        task, warps = self.task, self.threads / LANES
        latency = busy = 0.0

        def phase(loads: float, others: float, active: float = 1.0) -> None:
            """Add what each of some of the warps does: accesses to shared memory, and other instructions."""
            nonlocal latency, busy
            work = active * warps * max(loads, (loads + others) / 4)
            busy += work
            latency += PHASE + max(work, STALLS * (loads + others))

        def multiply(rows: int, inner: int) -> None:
            each = 0 if self.columns % 8 else rows * self.columns // self.threads
            r, q = 1 + (each >= 16), 8 if each >= 8 else 4
            tasks = up(rows, r) * self.columns / q
            rounds = up(int(tasks), self.threads)
            phase(rounds * inner * (r + q / 4), rounds * inner * r * q, tasks / (rounds * self.threads))

        layers = list(self.layers)
        for l, (n_in, n) in enumerate(layers, 1):
            own, groups = self.own(n_in, n), self.groups(n_in, n)
            if l == 1 and self.first_in_registers:
                phase(own * self.columns / 4 + self.columns, own * self.columns)
                phase(
                    n * self.columns / self.threads * groups, n * self.columns / self.threads * (groups + 40)
                )
            else:
                multiply(n, n_in)
            if l > 1:
                multiply(n_in, n)
            learn = own * self.columns
            phase(learn / 4 * 1.25 + own, learn + own * (4 + 8 * task.states))
            latency -= PHASE * (l > 1)
        if self.cluster > 1:
            latency += CLOCK * (0.35 + self.cluster * (0.02 + 0.0004 * task.sizes[1] * self.columns))
        latency += 2 * PHASE  # the last layer's lanes meet, and the next tile arrives
        return self.tiles * latency, self.tiles * busy

    def microseconds(self, networks_each: int) -> float:
        """Estimate a step of so many networks on each multiprocessor."""
        latency, busy = self.clocks()
        whole, rest = divmod(networks_each, self.resident)
        waves = [self.resident] * whole + [rest] * (rest > 0)
        return sum(max(latency, together * busy * 1.2) for together in waves) / CLOCK


def tile_sizes(m: int) -> list[int]:
    """The columns that a tile may have for m examples, multiples of 4."""
    return sorted({up(up(m, tiles), 4) * 4 for tiles in range(up(m, MOST_COLUMNS), up(m, 8) + 1)})


def shapes(task: Task, shared_bytes: int, most_blocks: int = 1) -> Iterator[Shape]:
    """Every way to do the task on a multiprocessor with so much shared memory for a block.

    most_blocks: a network may have so many blocks, if they are a cluster.
    """
    places = PLACES if task.states else PLACES[:1]
    for threads, columns, first, buffers, place in product(
        THREADS, tile_sizes(task.m), (True, False), (2, 1), places
    ):
        if max(*task.sizes[1:], columns) > threads:
            continue
        alone = Shape(task, threads, columns, first, buffers, place)
        yield from (
            shape for shape in (*residents(alone), *clusters(alone, most_blocks)) if fits(shape, shared_bytes)
        )


def residents(alone: Shape) -> Iterator[Shape]:
    """The shape, with several networks on a multiprocessor."""
    for resident in range(1, RESIDENT + 1):
        yield replace(alone, resident=resident)


def clusters(alone: Shape, most_blocks: int) -> Iterator[Shape]:
    """The shape, with several blocks of a network."""
    if alone.first_in_registers and alone.states_in != "IN_MEMORY":
        for blocks in range(2, most_blocks + 1):
            if alone.task.sizes[0] % blocks == 0:
                yield replace(alone, cluster=blocks)


def fits(shape: Shape, shared_bytes: int) -> bool:
    """Whether a multiprocessor has the shared memory and the registers for its blocks."""
    room = min(shared_bytes, (shared_bytes + RESERVED) // shape.resident - RESERVED)
    registers = min(255, REGISTERS // shape.threads // shape.resident)
    return shape.shared_bytes <= room and shape.registers <= registers - SLACK


@lru_cache(maxsize=256)
def best_shape(task: Task, shared_bytes: int, networks_each: int, most_blocks: int = 1) -> Shape | None:
    """Choose the quickest way to do the task for so many networks on each multiprocessor, if there is one."""
    able = shapes(task, shared_bytes, most_blocks)
    return min(able, key=lambda shape: shape.microseconds(networks_each), default=None)


def quicker_than_a_graph(shape: Shape) -> bool:
    """Whether one block is the faster way to train a network alone, by the figures of an H200."""
    layers = len(shape.task.sizes) - 1
    return shape.microseconds(1) <= GRAPH_LAYER * layers + GRAPH_EXAMPLE * shape.task.m
