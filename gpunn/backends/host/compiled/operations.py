"""Operations of the compiled kernels: rows of numbers and addresses, which the C++ files read."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

import numpy as np

from gpunn.backends.host.compiled.library import Kernels
from gpunn.core.examples import Pass
from gpunn.functions.calls import Array

HEAD, FIELDS = 3, 16  # of a row
WORTH_SHARING = 32_000  # multiplications of the largest operation for each thread, so that more may pay
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
    STEP = 11
    COUNT = 12
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
    SOFTMAX_ERROR = 24
    WEIGH_LOSSES = 25
    COLLECT = 26
    GATHER_SPARSE = 27
    SPARSE_AFFINE = 28
    SPARSE_GRADIENT = 29
    GATHER_INT32 = 30
    GATHER_INT64 = 31
    DISTORT = 32


GATHERS = {Code.GATHER_BYTES, Code.GATHER_INT32, Code.GATHER_INT64, Code.GATHER_SINGLE, Code.GATHER_DOUBLE}
VECTORS = {Code.SCALE, Code.ADD, Code.STEP, Code.SHRINK}
AHEAD = {Code.SET_RATES, Code.DROP}  # operations that depend on the step
OWN = VECTORS | {Code.HIDDEN_ERROR, Code.GRADIENT}  # a member writes what it alone reads until all have met
BACKWARD = OWN | {Code.COUNT}


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        fields: whole numbers, floats and arrays, of which the table has the address; None is no array.
        work: its multiplications, if it is a product.
        shares_features: if it is divided by features, whether its threads own those that they own in BP3 and
            BP4.
        layer: the layer of a gradient, of parameters that move, or whose error BP2 computes.
        followers: operations over vectors that move each part of a gradient's layer while it is in the cache.
    """

    code: Code
    fields: Sequence[int | float | Array | None]
    work: int = 0
    shares_features: bool = True
    layer: int = 0
    followers: tuple[Operation, ...] = ()

    def ahead(self, steps: int) -> Operation:
        """Return an operation of AHEAD for so many steps after the pass's."""
        first, _, *rest = self.fields
        return replace(self, fields=[first, steps, *rest])

    def rows(self, meets: bool) -> list[list[int]]:
        """Return the rows of the table. meets: threads wait for each other after them."""
        filled = [self.code, meets, len(self.followers), *map(_field, self.fields)]
        own = filled + [0] * (HEAD + FIELDS - len(filled))
        return [own, *(row for follower in self.followers for row in follower.rows(False))]


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
        return following.code not in GATHERS or not following.shares_features
    if one.code not in OWN or not one.shares_features:
        return True
    if following.code in VECTORS or following.code is Code.MEASURE:
        return False
    return following.code is not Code.GRADIENT or one.code is Code.GRADIENT


def meetings(operations: Sequence[Operation]) -> list[bool]:
    """Return after which operations threads wait for each other.

    A gradient reads every row of its layer's error, which others may have written some operations ago.
    """
    found, errors = [], set()  # layers whose errors have been written since the threads met
    for one, following in zip(operations, [*operations[1:], operations[0]], strict=True):
        if one.code is Code.HIDDEN_ERROR:
            errors.add(one.layer)
        reads_error = following.code is Code.GRADIENT and following.layer in errors
        found.append(reads_error or meets(one, following))
        if found[-1]:
            errors.clear()
    return found


def followed(operations: Iterable[Operation]) -> Operations:
    """Let operations over vectors follow the gradient of their layer, unless something else comes in between.

    Their order within each layer stays, and they touch nothing of other layers.
    """
    found: Operations = []
    places: dict[int, int] = {}  # of the gradients that may be followed, by layer
    for one in operations:
        if one.code in VECTORS and one.layer in places:
            place = places[one.layer]
            found[place] = replace(found[place], followers=(*found[place].followers, one))
            continue
        if one.code not in BACKWARD:
            places.clear()
        if one.code is Code.GRADIENT:
            places[one.layer] = len(found)
        found.append(one)
    return found


class Program:
    """Operations as one bound call.

    Attributes:
        steps, examples: how far they move the pass.
        times: how often a call repeats them.
        most: the most threads that are worth it.
        seconds: a guess of what they take on one thread, once.
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
        operations = followed(operations)
        every = [each for operation in operations for each in (operation, *operation.followers)]
        self.kept = [x for operation in every for x in operation.fields if isinstance(x, np.ndarray)]
        pairs = zip(operations, meetings(operations), strict=True)
        rows = [row for operation, meet in pairs for row in operation.rows(meet)]
        self.table = np.array(rows, np.int64)
        self.at, self.count = address(self.table), len(rows)
        self.most = max(1, max(operation.work for operation in operations) // WORTH_SHARING)
        self.seconds = len(rows) * OPERATION + sum(operation.work for operation in operations) / SPEED
        self.order: Array | None = None
        self.order_at = 0

    def aim(self, X: Array, out: Array) -> None:
        """Let the first operation gather from another X, and the last collect into another array.

        The caller keeps both of them.
        """
        self.table[0, HEAD], self.table[0, HEAD + 1] = address(X), X.strides[1] // X.itemsize
        self.table[-1, HEAD + 3] = address(out)

    def repeated(self, times: int) -> Program:
        """Return a program that repeats the operations, at most as often as takes a moment."""
        found = copy(self)
        found.times = max(1, min(times, int(MOMENT / self.seconds)))
        return found

    def __call__(self) -> None:
        p, threads = self.p, min(self.kernels.threads, self.most)
        if p is None:
            return self.run(self.at, self.count, threads, None, None, 0, 0, 0, self.times, 0, 0)
        if p.order is not self.order:
            self.order, self.contiguous = p.order, np.ascontiguousarray(p.order, np.int64)
            self.order_at = address(self.contiguous)
        etas, moved = None if p.etas is None else address(p.etas), (self.times, self.examples, self.steps)
        self.run(self.at, self.count, threads, self.order_at, etas, p.position, p.step, p.key, *moved)
        p.position += self.times * self.examples
        p.step += self.times * self.steps
