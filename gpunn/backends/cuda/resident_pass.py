"""Recognise the passes that the resident kernel can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpunn.backends.cuda.data import OnHost
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.network import (
    Motion,
    NetworkPass,
    NetworkStep,
    read_evaluation,
    read_pass,
    statements,
)
from gpunn.backends.cuda.shapes import SCALARS, Task, up
from gpunn.core.equations import Equation


@dataclass(eq=False, slots=True)
class Resident(Equation):
    """Network: all of a pass, from a[0], y ← the next examples to the move of θ

    Attributes:
        found: the equations that it stands for.
        m: the number of examples of all steps, in mini-batches like the first; only the last may be shorter.
        gathers: whether it gathers the examples itself; otherwise they are gathered before, and perhaps
            distorted.
    """

    found: NetworkPass
    m: int
    gathers: bool

    @property
    def inputs(self) -> Buffer:
        """The matrix whose columns the kernel reads."""
        gather = self.found.gather
        x: Buffer = gather.examples.X if self.gathers else gather.x
        return x

    @property
    def learns(self) -> bool:
        """Whether θ moves."""
        return bool(self.motion.moves)

    def parts(self, blocks: int, columns: int) -> list[tuple[int, int]]:
        """Divide the examples among blocks: (the first, how many) of each part; a single part to learn."""
        each = self.m if self.learns else up(up(self.m, blocks), columns) * columns
        return [(start, min(each, self.m - start)) for start in range(0, self.m, each)]

    @property
    def motion(self) -> Motion:
        """How each parameter moves."""
        return self.found.steps[0].motion

    def task(self, itemsize: int) -> Task:
        """The task of the kernel."""
        first, x = self.found.steps[0], self.inputs
        sizes = (x.shape[0], *(e.z.shape[0] for e in first.forward))
        m, motion = first.error.out.shape[1], first.motion
        packed = 4 if x.dtype == np.uint8 and sizes[0] % 4 == 0 else 1
        labelled = self.found.gather.examples.labels is not None
        return Task(sizes, m, len(motion.states), itemsize, packed, labelled)


def recognised(equations: Sequence[Equation], m: int | None = None) -> Resident | None:
    """Recognise a pass that the kernel can do.

    m: the examples of the pass, of whose steps the equations show the first and, if it is shorter, the last;
    otherwise they show all steps.
    """
    found = read_pass(equations) or (None if m is None else read_evaluation(equations))
    if found is None or not spelled(found.steps[0]) or not alike(found.steps):
        return None
    if len(found.steps[0].motion.scalars) > SCALARS:
        return None
    given = found.gather.examples
    gathers = found.distort is None and not any(isinstance(x, OnHost) for x in (given.X, given.targets))
    if m is None:
        return Resident(found, found.advance.m, gathers)
    return Resident(found, m, gathers) if gathers else None


def spelled(step: NetworkStep) -> bool:
    """Whether f[1]…f[L] and the cost have a C spelling: all elementwise, or softmax last with its cost."""
    *hidden, last = (e.f for e in step.forward)
    cost = step.error.cost
    if any(e.a.scale != 1 for e in step.forward):
        return False
    output = last.cuda is not None or cost.pairs(last)
    return cost.cuda is not None and output and all(f.cuda for f in hidden)


def alike(steps: list[NetworkStep]) -> bool:
    """Whether the steps differ only in their examples, which lie side by side; the last may be shorter."""
    first, m = steps[0], steps[0].error.out.shape[1]
    batches = [step.error.out.shape[1] for step in steps]
    if set(batches[:-1]) - {m} or batches[-1] > m:
        return False
    for k, step in enumerate(steps):
        motion = step.motion
        same = (
            step.rates is first.rates
            and step.error.cost is first.error.cost
            and [(e.theta, e.f) for e in step.forward] == [(e.theta, e.f) for e in first.forward]
            and statements(motion.moves) == statements(first.motion.moves)
            and motion.step is first.motion.step
            and motion.states == first.motion.states
            and (k == len(steps) - 1 or motion.scalars == first.motion.scalars)
        )
        pairs = zip(examples_of(step), examples_of(first), strict=True)
        if not same or not all(follows(mine, theirs, k * m) for mine, theirs in pairs):
            return False
    return True


def examples_of(step: NetworkStep) -> list[Buffer | None]:
    """The buffers of a step that hold its own examples: x, y, weights, z and a."""
    weights = step.weights and step.weights.weights
    return [step.forward[0].a, step.error.y, weights, step.error.z, step.error.a]


def follows(buffer: Buffer | None, first: Buffer | None, columns: int) -> bool:
    """Whether the buffer begins `columns` columns after the first."""
    if buffer is None or first is None:
        return buffer is first
    return buffer.pointer == first.columns(columns, columns).pointer
