"""Scalars of a stack of networks, each with its own learning rate, momentum and decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpunn.backends.cuda.device import Buffer
from gpunn.core.scalars import CAPACITY, Scalar, StepScalars


@dataclass
class Cells:
    """The cells of a stack's scalars: a scalar has the same index in the table of every network.

    A network is in several stacks, one for each of its passes, so a new index must be free in every table.

    Attributes:
        known: the index of each scalar, by the networks' pairs (p, q).
    """

    known: dict[tuple[tuple[float, float], ...], int] = field(default_factory=dict)

    def index(self, memory: Any, each: tuple[Scalar, ...]) -> int:
        """Return the index of a scalar; write it to every network's table if it is new."""
        pairs = tuple((scalar.p, scalar.q) for scalar in each)
        if pairs not in self.known:
            index = 1 + max(max(scalar.scalars.cells, default=-1) for scalar in each)
            if index == CAPACITY:
                raise ValueError(f"a step has more than {CAPACITY} different scalars")
            for scalar in each:
                scalar.scalars.cells[index] = memory.write_cell(scalar, index)
            self.known[pairs] = index
        return self.known[pairs]


@dataclass(frozen=True)
class StackedScalar(Scalar):
    """The scalar p + q η of each network of a stack. A constant that all networks share has no cells.

    Attributes:
        each: the networks' own scalars; p and q are those of the network with which the launch begins.
    """

    each: tuple[Scalar, ...] = ()
    cells: Cells = field(default_factory=Cells)

    def times(self, factor: float) -> StackedScalar:
        """Return factor · (p + q η)."""
        each = tuple(scalar.times(factor) for scalar in self.each)
        return StackedScalar(self.scalars, self.p * factor, self.q * factor, each, self.cells)

    def cell(self, memory: Any) -> Buffer:
        """Return the cell of the first network's value."""
        if self.q == 0 and all((scalar.p, scalar.q) == (self.p, 0) for scalar in self.each):
            fixed: Buffer = memory.fixed(self.p)
            return fixed
        found: Buffer = self.scalars.values.part(self.cells.index(memory, self.each), (1,))
        return found


def stacked(each: Sequence[Scalar], first: int, cells: Cells) -> StackedScalar:
    """Return the networks' scalars as one, for a launch that begins with the network `first`."""
    own = each[first]
    return StackedScalar(own.scalars, own.p, own.q, tuple(each), cells)


def constant(value: float) -> StackedScalar:
    """Return a constant that all networks of a stack share."""
    return StackedScalar(StepScalars(0.0, None), value)
