"""Memory for networks of one shape side by side, so that one launch serves them all.

In a stack of networks, each array (parameters, states of the optimizer, workspaces, passes) lies at a fixed
distance from that of the network before. A kernel needs only the first network's array and this distance,
`Buffer.apart`; a library's product takes them as a strided batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gpunn.backends.cuda.device import Buffer, Device

APART = 256  # bytes: the alignment of every network's arrays, as in CUDA's own allocations

#: A pointer, what keeps its memory alive, and the bytes from a network's array to the next one's.
Allocated: TypeAlias = "tuple[int, Any, int]"


def side_by_side(device: Device, nbytes: int, networks: int, zeros: bool) -> Allocated:
    """Allocate an array for each network of a stack; return the first one's."""
    apart = -(-nbytes // APART) * APART
    return *device.allocate(networks * apart, zeros), apart


@dataclass(eq=False)
class InTurn:
    """Memory of networks that are bound one after another and allocate the same sizes in the same order.

    A network whose allocations differ from the others' gets memory of its own, and joins no stack.

    Attributes:
        network: the network whose turn it is.
        passes: the number of passes that it has bound.
    """

    device: Device
    networks: int
    network: int = 0
    passes: int = 0
    scratch_memory: Buffer | None = None
    copies: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self.blocks: list[tuple[int, Allocated]] = []
        self.next_block = 0

    def turn(self, network: int) -> None:
        """Let a network allocate."""
        self.network, self.passes, self.next_block = network, 0, 0

    def allocate(self, nbytes: int, zeros: bool) -> Allocated:
        """Allocate for the network whose turn it is."""
        if self.next_block == len(self.blocks):
            self.blocks.append((nbytes, side_by_side(self.device, nbytes, self.networks, zeros)))
        size, (pointer, memory, apart) = self.blocks[self.next_block]
        self.next_block += 1
        if size != nbytes:
            return *self.device.allocate(nbytes, zeros), 0
        return pointer + self.network * apart, memory, apart


@dataclass(eq=False)
class AtOnce:
    """Memory for a whole stack while its graph is bound; contents are written for every network."""

    device: Device
    copies: int
    scratch_memory: Buffer | None = None

    def allocate(self, nbytes: int, zeros: bool) -> Allocated:
        """Allocate for each network; return the first one's."""
        return side_by_side(self.device, nbytes, self.copies, zeros)
