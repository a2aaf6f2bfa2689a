"""Operations of the compiled kernels: rows of numbers and addresses, which the C++ files read."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

import numpy as np

from gpunn.backends.host.compiled.library import Kernels
from gpunn.core.examples import Pass
from gpunn.functions.calls import Array

FIELDS = 16
WORTH_SHARING = 400_000  # multiplications of an operation, for which threads are quicker than one
MOMENT = 5e-3  # seconds that a call should take at most, so that Ctrl-C and progress bars stay alive
OPERATION, SPEED = 3e-7, 2e10  # to guess them: seconds of an operation, multiplications a second


class Code(IntEnum):
    """The operations in the order of program.cpp's table."""

    GATHER_BYTES = 0
    GATHER_SINGLE = 1
    GATHER_DOUBLE = 2
    LABELS = 3
    FORWARD = 4
    OUTPUT_ERROR = 5
    APPLY_WEIGHTS = 6
    HIDDEN_ERROR = 7
    GRADIENT = 8
    SCALE = 9
    ADD = 10
    COUNT = 11
    STEP = 12
    SET_RATES = 13
    MEASURE = 14
    DROP = 15
    NORMALISE = 16
    ACTIVATE = 17
    NORM_ERROR = 18
    SHRINK = 19
    SUM_SQUARES = 20
    CLIP_NORM = 21
    SUM_ROW_SQUARES = 22
    BOUND_ROWS = 23


GATHERS = {Code.GATHER_BYTES, Code.GATHER_SINGLE, Code.GATHER_DOUBLE}
VECTORS = {Code.SCALE, Code.ADD, Code.STEP, Code.SHRINK}
AHEAD = {Code.SET_RATES, Code.DROP}  # operations that depend on the step
OWN = VECTORS | {Code.HIDDEN_ERROR, Code.GRADIENT}  # a member writes what it alone reads until all have met


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        fields: whole numbers, floats and arrays, of which the table has the address; None is no array.
        work: its multiplications, if it is a product.
        shares_features: BP2 whose threads own features, as those of BP3 and BP4 do.
    """

    code: Code
    fields: Sequence[int | float | Array | None]
    work: int = 0
    shares_features: bool = True

    def ahead(self, steps: int) -> Operation:
        """Return an operation of AHEAD for so many steps after the pass's."""
        first, _, *rest = self.fields
        return replace(self, fields=[first, steps, *rest])

    def row(self, meets: bool) -> list[int]:
        """Return the row of the table. meets: threads wait for each other after it."""
        filled = [self.code, meets, *map(_field, self.fields)]
        return filled + [0] * (FIELDS + 2 - len(filled))


Operations: TypeAlias = list[Operation]


def _field(value: int | float | Array | None) -> int:
    if isinstance(value, np.ndarray):
        return address(value)
    if isinstance(value, float):
        found: int = struct.unpack("=q", struct.pack("=d", value))[0]
        return found
    return int(value or 0)


def address(array: Array) -> int:
    """Return the address of an array, in less than half of the time that `array.ctypes` takes."""
    found: int = array.__array_interface__["data"][0]
    return found


def meets(one: Operation, following: Operation) -> bool:
    """Whether threads wait for each other between two operations."""
    if one.code in GATHERS and following.code is Code.LABELS:
        return False
    if one.code is Code.MEASURE:  # what it reads is written after the threads have met
        return following.code not in GATHERS
    if one.code not in OWN or not one.shares_features:
        return True
    if following.code in VECTORS or following.code is Code.MEASURE:
        return False
    return following.code is not Code.GRADIENT or one.code is Code.GRADIENT


class Program:
    """Operations as one bound call.

    Attributes:
        steps, examples: how far they move the pass.
        times: how often a call repeats them.
    """

    def __init__(
        self,
        kernels: Kernels,
        operations: Sequence[Operation],
        p: Pass | None,
        steps: int = 0,
        examples: int = 0,
    ) -> None:
        self.kernels, self.run, self.p, self.times = kernels, kernels.run, p, 1
        self.steps, self.examples = steps, examples
        self.kept = [x for operation in operations for x in operation.fields if isinstance(x, np.ndarray)]
        following = [*operations[1:], operations[0]]
        rows = [one.row(meets(one, next_)) for one, next_ in zip(operations, following, strict=True)]
        self.table = np.array(rows, np.int64)
        self.at, self.count = address(self.table), len(rows)
        self.shared = max(operation.work for operation in operations) >= WORTH_SHARING
        self.seconds = len(rows) * OPERATION + sum(operation.work for operation in operations) / SPEED
        self.order: Array | None = None
        self.order_at = 0

    def repeated(self, times: int) -> Program:
        """Return a program that repeats the operations, at most as often as takes a moment."""
        found = copy(self)
        found.times = max(1, min(times, int(MOMENT / self.seconds)))
        return found

    def __call__(self) -> None:
        p, threads = self.p, self.kernels.threads if self.shared else 1
        if p is None:
            return self.run(self.at, self.count, threads, None, None, 0, 0, 0, self.times, 0, 0)
        if p.order is not self.order:
            self.order, self.contiguous = p.order, np.ascontiguousarray(p.order, np.int64)
            self.order_at = address(self.contiguous)
        etas, moved = None if p.etas is None else address(p.etas), (self.times, self.examples, self.steps)
        self.run(self.at, self.count, threads, self.order_at, etas, p.position, p.step, p.key, *moved)
        p.position += self.times * self.examples
        p.step += self.times * self.steps
