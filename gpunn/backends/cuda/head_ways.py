"""How the head's kernel shares out a layer among blocks, and which way is the fastest on a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpunn.backends.cuda.device import Device

MOST_OUTPUTS, MOST_INPUTS, MOST_EXAMPLES = 32, 2048, 4096
THREADS = 256  # in a block, and the most inputs and examples that one goes through together
FEWEST = 8  # threads in a group of those that leave sums in shared memory: more groups need more of it
WAYS = [(k, k) for k in (1, 2, 4, 8)] + [(k, 0) for k in (1, 4, 8, 16, 32, 64, 128, 256)]  # blocks, cluster

# Times in µs. An H200 has shown some; `python -m benchmarks.probes heads` shows how good the rest is.
WORK = 150_000  # instructions of threads of a block in a µs, counted in the code
LOAD = 30_000  # bytes in a µs that a block reads of a and writes of δ[L-1]

# A constant, and for each output of an example. prim.txt: an exchange of 32, 128 and 512 numbers with each of
# 8 blocks of a cluster takes 0.55, 0.82 and 1.95, and a barrier of 8 to 132 blocks 0.66 to 0.89. Both happen
# twice. A grid's reads also wait for its writes, and its launch is cooperative.
CLUSTER, GRID = (0.9, 0.0007), (6.0, 0.0002)

# A constant, and for each product of two numbers. timeline.txt: 16 (784-128-10 at 16), 25 (at 128), 21
# (784-512-10 at 128) and 41 (784-1024-1024-10 at 1,024), before products were chosen by the clock.
SEPARATE = 10.0, 1e-6


@dataclass(frozen=True)
class Way:
    """How the head of a layer (n, n_in) with m examples is shared out.

    Attributes:
        blocks: each has a share of the inputs and, in between, of the examples.
        cluster: blocks that exchange numbers through their shared memory; 0 if all blocks do so through
            global memory.
    """

    n: int
    n_in: int
    m: int
    itemsize: int
    blocks: int
    cluster: int

    @property
    def share(self) -> int:
        """The inputs of a block."""
        return fours(-(-self.n_in // self.blocks))

    @property
    def columns(self) -> int:
        """The examples of a block."""
        return fours(-(-self.m // self.blocks))

    @property
    def exchanged(self) -> int:
        """Elements of z, or of δ, of all blocks."""
        return self.blocks * self.columns * fours(self.n)

    def shared_bytes(self, tile: int, held: int) -> int:
        """The shared memory that a block needs to go through tiles of examples, with a of `held` examples."""
        column = fours(self.n)
        own = (self.share + 1 + tile) * column + fours(self.columns * self.n) + fours(held * (self.share + 1))
        exchange = self.exchanged + self.columns * column if self.cluster else 0
        of_groups = (THREADS + THREADS // FEWEST) * (self.n + 1)  # each group's are padded by one
        sums = max(of_groups, 4 * THREADS, self.columns * column)
        return (own + exchange + fours(sums)) * self.itemsize

    def tile(self, device: Device) -> tuple[int, bool]:
        """Choose the examples that a block goes through together, and whether it holds a of all examples.

        The tile is 0 if there is not enough shared memory.
        """
        tile = min(THREADS, fours(self.m))
        if self.shared_bytes(tile, self.m) <= device.shared_bytes:
            return tile, True
        while tile and self.shared_bytes(tile, tile) > device.shared_bytes:
            tile = fours(tile // 2) if tile > 4 else 0
        return tile, False

    @property
    def microseconds(self) -> float:
        """Estimate how long it takes, without its launch."""
        elements, outputs = self.share * self.m, self.n * self.m
        computing = elements * (5 * self.n + 15) / WORK + elements * self.itemsize / LOAD
        if self.cluster == 1:
            return computing
        constant, each = CLUSTER if self.cluster else GRID
        return computing + constant + each * outputs

    @property
    def quicker_than_separate_launches(self) -> bool:
        """Whether it is the faster way to do the layer, by estimate; a GPU's clock has the last word."""
        constant, each = SEPARATE
        return self.microseconds <= constant + each * self.n * self.n_in * self.m


def fours(count: int) -> int:
    """Round a number of elements up to whole Fours."""
    return -(-count // 4) * 4


def ways(n: int, n_in: int, m: int, itemsize: int, device: Device) -> Iterator[Way]:
    """All ways that the device could take: one block, a cluster, or many blocks."""
    for blocks, cluster in WAYS:
        if cluster <= device.cluster and blocks <= device.processors:
            yield Way(n, n_in, m, itemsize, blocks, cluster)


def best_way(n: int, n_in: int, m: int, itemsize: int, device: Device) -> Way | None:
    """Choose the fastest way by estimate; None if the layer is too large."""
    if n > MOST_OUTPUTS or n_in > MOST_INPUTS or m > MOST_EXAMPLES:
        return None
    able = [way for way in ways(n, n_in, m, itemsize, device) if way.share <= THREADS and way.tile(device)[0]]
    return min(able, key=lambda way: way.microseconds, default=None)
