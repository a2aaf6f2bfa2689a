"""The shape of the resident kernel: how a network is laid out in a block, or in a cluster of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from gpunn.backends.cuda.source import CONSTANTS

SCALARS = 8  # that the update's equations may have, of one network or of several
BESIDE = 54  # registers of a thread beside those for which `registers` accounts
PLACES = ("IN_REGISTERS", "IN_SHARED", "IN_MEMORY")  # of the optimizer's states


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
        blocks: of a network, which share out the inputs of a first layer in registers, or else the examples
            of a mini-batch.
        grid: the blocks of a network exchange numbers through device memory; else they are a cluster.
    """

    task: Task
    threads: int
    columns: int
    first_in_registers: bool
    buffers: int
    states_in: str
    resident: int = 1
    blocks: int = 1
    grid: bool = False

    @property
    def shared_out(self) -> str:
        """Name the part of the work that the blocks share out."""
        return "nothing" if self.blocks == 1 else "inputs" if self.first_in_registers else "examples"

    @property
    def way(self) -> str:
        """The shape in words."""
        if self.blocks == 1:
            return "1 block"
        return (
            f"{self.blocks} blocks in a {'grid' if self.grid else 'cluster'}, sharing out {self.shared_out}"
        )

    @property
    def movers(self) -> int:
        """The blocks that share out the examples, and the parameters that they move."""
        return 1 if self.first_in_registers else self.blocks

    @property
    def inputs(self) -> int:
        """The inputs of a block."""
        return self.task.sizes[0] * self.movers // self.blocks

    @property
    def packed(self) -> int:
        """The inputs in a word, as they are read from device memory."""
        return self.task.packed if self.inputs % self.task.packed == 0 else 1

    @property
    def row(self) -> int:
        """The distance of rows: an odd number of Fours, so that rows start in different banks."""
        return self.columns if self.columns % 8 else self.columns + 4

    @property
    def examples(self) -> int:
        """The examples of a block in a step."""
        return up(self.task.m, self.movers)

    @property
    def tiles(self) -> int:
        return up(self.examples, self.columns)

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
    def numbers(self) -> int:
        """The parameters that a thread owns."""
        return sum(self.own(*layer) for layer in self.layers)

    @property
    def slots(self) -> int:
        """The parameters that a thread moves."""
        return up(self.numbers, self.movers)

    @property
    def exchanged(self) -> int:
        """The numbers that a block receives from all blocks: sums of z[1] of two tiles, or gradients."""
        if self.blocks == 1:
            return 0
        sums = 2 * self.task.sizes[1] * self.columns
        return self.blocks * (sums if self.first_in_registers else self.slots * self.threads)

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
        for l, (n_in, n) in enumerate(self.layers, 1):
            if l > 1 or not self.first_in_registers:
                numbers += up((n | 1) * (n_in + 1), 4) * 4
            numbers += n * row + (l < len(task.sizes) - 1) * (n + 1) * row
        numbers += (self.states_in == "IN_SHARED") * task.states * self.slots * self.threads
        numbers += (not self.grid) * self.exchanged
        four = 4 * 8
        return up(numbers * task.itemsize, four) * four + self._extras()

    def _extras(self) -> int:
        """The size of the kernel's struct Extras."""
        task, columns = self.task, self.columns
        member, start_steps_powers = 19 * 8, 4 * 8
        before = member + start_steps_powers + (CONSTANTS + 3 + 2 * (SCALARS + 2)) * task.itemsize
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
            "BLOCKS": self.blocks,
            "CLUSTER": 1 if self.grid else self.blocks,
            "SHARED": self.shared_bytes,
        }

    @property
    def registers(self) -> int:
        """An estimate of the registers that a thread needs."""
        task, words = self.task, self.task.itemsize // 4
        numbers = (self.tiles > 1) * self.numbers
        numbers += (self.states_in == "IN_REGISTERS") * task.states * self.slots
        if self.first_in_registers:
            numbers += self.own(*next(self.layers))
        work = max(min(self.columns, 16) + 8, 24) + 6 * (self.states_in == "IN_SHARED")
        loads = self.loads * (1 if self.packed > 1 else words)
        return BESIDE + loads + (numbers + work) * words
