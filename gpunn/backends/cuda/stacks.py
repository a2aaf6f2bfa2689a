"""Stacks: networks of one shape, too large for the resident kernel, in one graph.

Each network says its own equations, in memory side by side with the others' (see allocating.py). If the
equations of networks are alike, those of one are lowered for all: products become strided batches, kernels
have the networks as the grid's y, and scalars such as −η/m have a cell for each network. The number of
launches does not grow with the number of networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import fields, replace
from typing import Any

import numpy as np

from gpunn.backends.cuda.allocating import AtOnce, InTurn
from gpunn.backends.cuda.data import OnHost
from gpunn.backends.cuda.device import BF16, Buffer
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.memory import Norm
from gpunn.backends.cuda.stacked import Cells, stacked
from gpunn.core.equations import Equation
from gpunn.core.examples import Examples, Pass
from gpunn.core.parameters import Parameters, Part
from gpunn.core.pass_equations import Gather
from gpunn.core.rules import Rule
from gpunn.core.scalars import Scalar, StepScalars
from gpunn.functions.calls import Calls

Lower = Callable[[Kernels, Sequence[Equation]], Calls]

#: The fields by which records are compared, by type; all fields for the types in BY_FIELDS.
COMPARED: dict[type, tuple[str, ...]] = {
    Pass: tuple(field.name for field in fields(Pass)),
    Parameters: ("layout", "flat"),
    Scalar: ("scalars",),
    StepScalars: ("values", "on_device"),
}
BY_FIELDS = (Equation, Part, Norm, Examples)


class Later:
    """The graph of a pass of one network, captured when it first runs: before that it may join a stack.

    Attributes:
        place: the network among those side by side, and how many passes it had bound before.
        stack: the stack that it has joined.
        index: the network in that stack.
    """

    def __init__(self, memory: InTurn, equations: Sequence[Equation], capture: Callable[[], Calls]) -> None:
        self.memory, self.equations, self.capture = memory, equations, capture
        self.place = memory.network, memory.passes
        memory.passes += 1
        self.stack: Stack | None = None
        self.index = 0
        self.calls: Calls = []

    def __call__(self) -> None:
        self.calls = self.calls or self.capture()
        for call in self.calls:
            call()


class Stack:
    """A pass of networks side by side, whose equations are alike.

    The graph serves all networks from the first to the last that still learn. Networks in between that have
    ended repeat the same examples, and their results are ignored. The graph is captured anew once half of its
    networks, or fewer, suffice.

    Args:
        k: binds kernels and products.
        said: the equations of each network.
        lower: lowers equations.
    """

    def __init__(self, k: Kernels, said: Sequence[Sequence[Equation]], lower: Lower) -> None:
        self.k, self.said, self.lower, self.cells = k, said, lower, Cells()
        self.first = self.count = 0
        self.ended = np.zeros(0, np.int64)
        self.calls: Calls = []

    def of(self, going: Sequence[int]) -> Calls:
        """Return the calls for the networks `going`, which still learn."""
        first, count = min(going), max(going) + 1 - min(going)
        if not self.calls or 2 * count <= self.count:
            self._bind(first, count)
        ended = np.ones(self.count, np.int64)
        ended[np.array(going) - self.first] = 0
        if not np.array_equal(ended, self.ended):
            self.ended = ended
            self.k.device.write(self.flags.pointer, ended)
        return self.calls

    def _bind(self, first: int, count: int) -> None:
        """Capture the graph of `count` networks, beginning with the network `first`."""
        self.first, self.count, self.ended = first, count, np.zeros(count, np.int64)
        flags = self.k.memory.put(self.ended, np.int64)
        self.flags = replace(flags.part(0, (1,)), apart=self.ended.itemsize)
        k = copy(self.k)
        k.networks = count
        equations, gather = self._equations(), self.said[first][0]
        assert isinstance(gather, Gather)
        with k.memory.using(AtOnce(k.device, count)):
            begin = k.each("begin_again", 1, self.flags, gather.p.position, gather.p.step)
            self.calls = [k.device.capture([*begin, *self.lower(k, equations)])]

    def _equations(self) -> list[Equation]:
        """Return the first network's equations with the scalars of all; a repeated record is merged once."""
        merged: dict[int, Equation] = {}
        for each in zip(*self.said, strict=True):
            own = each[self.first]
            if id(own) not in merged:
                merged[id(own)] = self._merged(each)
        return [merged[id(own)] for own in self.said[self.first]]

    def _merged(self, each: Sequence[Equation]) -> Equation:
        """Return a copy of the first network's record, whose scalars are those of all networks."""
        made = copy(each[self.first])
        for name in names_of(made) or ():
            if isinstance(getattr(made, name), Scalar):
                scalars = [getattr(one, name) for one in each]
                setattr(made, name, stacked(scalars, self.first, self.cells))
        return made


def together(k: Kernels, passes: Sequence[Later], lower: Lower) -> Calls | None:
    """Return calls that run these passes of different networks; None if too few could share a graph.

    In bfloat16 there are no stacks, because their factors cannot be applied to δ without rounding it again.
    """
    if k.memory.operand_dtype == BF16:
        return None
    if not all(one.stack for one in passes):
        alike = neighbours(passes)
        if 2 * len(alike) > len(passes):
            return None
        for group in alike:
            stack = Stack(k, [one.equations for one in group], lower)
            for index, one in enumerate(group):
                one.stack, one.index = stack, index
    going: dict[Stack, list[int]] = {}
    for one in passes:
        assert one.stack
        going.setdefault(one.stack, []).append(one.index)
    return [call for stack, indices in going.items() for call in stack.of(indices)]


def neighbours(passes: Sequence[Later]) -> list[list[Later]]:
    """Divide passes into groups of networks side by side that a graph can serve."""
    groups: list[list[Later]] = []
    order = {one.memory: k for k, one in enumerate(reversed(passes))}
    for one in sorted(passes, key=lambda one: (order[one.memory], one.place)):
        if groups and follows(one, groups[-1]):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def follows(one: Later, group: Sequence[Later]) -> bool:
    """Whether a pass belongs to the next network, and is like those of the group."""
    last, (network, number) = group[-1], one.place
    if one.memory is not last.memory or last.place != (network - 1, number):
        return False
    if len(one.equations) != len(last.equations):
        return False
    compared: dict[tuple[int, int], bool] = {}
    pairs = zip(last.equations, one.equations, strict=True)
    return all(alike(a, b, compared) for a, b in pairs)


def alike(a: Any, b: Any, compared: dict[tuple[int, int], bool]) -> bool:
    """Whether records of two neighbouring networks differ only in their scalars and their addresses.

    compared: the records that were compared before.
    """
    if type(a) is not type(b) or isinstance(a, OnHost):
        return False
    if isinstance(a, Buffer):
        return a.of(1) == replace(b, memory=a.memory)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(alike(x, y, compared) for x, y in zip(a, b, strict=True))
    if (names := names_of(a)) is None:
        return a is b or bool(a == b)
    key = id(a), id(b)
    if key not in compared:
        compared[key] = True  # while its parts are compared
        compared[key] = all(alike(getattr(a, name), getattr(b, name), compared) for name in names)
    return compared[key]


def names_of(record: Any) -> Sequence[str] | None:
    """Return the names of the fields that are compared; None if the record is compared as a whole."""
    if isinstance(record, Rule):
        return record.constants
    if isinstance(record, BY_FIELDS):
        return [field.name for field in fields(record)]
    return next((names for kind, names in COMPARED.items() if isinstance(record, kind)), None)
