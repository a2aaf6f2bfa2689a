"""The resident kernel: which plans it can do, and its launch, for one network or for many.

A graph of a small network's steps spends most of its time between its kernels. If the network fits on a
multiprocessor, a block of resident.cu takes all steps of a plan instead: it gathers the examples, learns from
them and measures the outputs. Networks that differ in nothing that the kernel's source contains are trained
by one launch, a block each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from gpunn.backends.cuda.data import OnHost
from gpunn.backends.cuda.device import Buffer, keeping
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.network import (
    Motion,
    Move,
    NetworkPass,
    NetworkStep,
    merged,
    read_evaluation,
    read_pass,
    statements,
)
from gpunn.backends.cuda.shape_choice import best_shape, quicker_than_a_graph
from gpunn.backends.cuda.shapes import SCALARS, Shape, Task, up
from gpunn.backends.cuda.source import CONSTANTS, RESIDENT, constants_of, defined, network_source, rule_source
from gpunn.core.backend import UINT8_SCALE
from gpunn.core.equations import Equation
from gpunn.functions.calls import Call

BUSY = 2  # blocks on each multiprocessor that measure outputs


@dataclass(eq=False, slots=True)
class Resident(Equation):
    """Network: all of a pass, from a[0], y ← the next examples to the move of θ

    Attributes:
        found: the equations that it stands for.
        m: the examples of all steps, in mini-batches like the first; a shorter one is like the last.
        gathers: whether it gathers the examples itself; else they are gathered, and perhaps distorted.
    """

    found: NetworkPass
    m: int
    gathers: bool

    @property
    def inputs(self) -> Buffer:
        """The matrix of which the kernel reads columns."""
        gather = self.found.gather
        x: Buffer = gather.examples.X if self.gathers else gather.x
        return x

    @property
    def learns(self) -> bool:
        """Whether θ moves."""
        return bool(self.motion.moves)

    def parts(self, blocks: int, columns: int) -> list[tuple[int, int]]:
        """Share out the examples, if nothing is learnt, among blocks: (the first, how many) of each."""
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


def recognised(k: Kernels, equations: Sequence[Equation], m: int | None = None) -> Resident | None:
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
    """Whether the buffer lies so many columns behind the first."""
    if buffer is None or first is None:
        return buffer is first
    return buffer.pointer == first.columns(columns, columns).pointer


# the launch


class Launch:
    """One launch of the kernel, as a bound call: a block for each of some passes that have the same source.

    The passes are those of different networks. Nothing is compiled before `bind`, since many launches may
    become one.
    """

    def __init__(self, k: Kernels, passes: Sequence[Resident], shape: Shape) -> None:
        self.k, self.passes, self.shape = k, passes, shape
        self.moves = reduce(merged, (e.motion.moves for e in passes))

    def bind(self) -> Launch:
        """Compile the kernel and bind the launch, unless that is done; return itself."""
        _ = self.call
        return self

    def __call__(self) -> None:
        self.call()

    @cached_property
    def call(self) -> Call:
        """The launch, bound to the networks' buffers."""
        k, shape = self.k, self.shape
        members = [member(k, e, self.moves) for e in self.passes]
        each = max(1, BUSY * k.device.processors // len(self.passes))
        rows = [
            [*pointers, *part]
            for e, (pointers, _) in zip(self.passes, members, strict=True)
            for part in e.parts(each, shape.columns)
        ]
        table = k.memory.put(np.array(rows).T, np.int64)
        kernel = k.compiled(source_of(self.passes[0], shape, self.moves), RESIDENT)("train")
        blocks = len(rows) * shape.cluster
        call = k.device.launch(kernel, blocks, shape.threads, (table,), shape.shared_bytes)
        return keeping(call, *(buffer.memory for _, kept in members for buffer in kept))


def bound(k: Kernels, e: Resident, networks: int = 1) -> Launch | None:
    """Bind a launch for a pass; None if it is not possible, or not the faster way for one network.

    networks: how many passes like this will be launched together.
    """
    if networks == 1 and not e.learns:
        return None  # a graph needs no compilation
    shape = chosen_shape(k, e, networks)
    if shape is None or (networks == 1 and not quicker_than_a_graph(shape)):
        return None
    launch = Launch(k, [e], shape)
    return launch.bind() if networks == 1 else launch


def chosen_shape(k: Kernels, e: Resident, networks: int) -> Shape | None:
    """Choose the shape for a pass, if so many are launched together."""
    device, task = k.device, e.task(k.memory.dtype.itemsize)
    most_blocks = min(device.cluster, device.processors // networks)
    return best_shape(task, device.shared_bytes, up(networks, device.processors), most_blocks)


def together(launches: Sequence[Launch]) -> list[Launch]:
    """Return a launch for all passes that have the same source, in place of one for each.

    Statements that only some of them have, such as weight decay, do nothing for the others.
    """
    groups: dict[str, list[Launch]] = {}
    for launch in launches:
        needed = [move for move in launch.moves if move.neutral is None]
        groups.setdefault(source_of(launch.passes[0], launch.shape, needed), []).append(launch)
    return [
        Launch(group[0].k, [e for one in group for e in one.passes], group[0].shape).bind()
        for group in groups.values()
    ]


def member(k: Kernels, e: Resident, moves: Sequence[Move]) -> tuple[list[int], list[Buffer]]:
    """The kernel's Member of a pass, and the buffers that it points to."""
    step, gather, p = e.found.steps[0], e.found.gather, e.found.gather.p
    theta, motion, given = step.forward[0].theta, step.motion, gather.examples
    labels, targets, weights = (
        (given.labels, given.targets, given.weights)
        if e.gathers
        else (gather.labels, gather.y, gather.weights)
    )
    states = [*(state.flat for state in motion.states), None, None][:2]
    scheduled = (p.etas, p.step) if step.rates else (None, None)
    counter = motion.step.steps if motion.step else None
    buffers = [
        theta.flat, *states, p.order if e.gathers else None, p.position,
        e.inputs, labels if given.labels is not None else None,
        None if given.labels is not None else targets, weights,
        *scheduled, counter, p.losses, p.hits, k.memory.put(numbers_of(e, moves), np.float64),
    ]  # fmt: skip
    pointers = [0 if buffer is None else buffer.pointer for buffer in buffers]
    return pointers, [buffer for buffer in buffers if buffer is not None]


def numbers_of(e: Resident, moves: Sequence[Move]) -> np.ndarray:
    """η, the rule's constants, the targets of labels, the threshold, and each scalar's p and q, twice."""
    gather, first, last = e.found.gather, e.found.steps[0], e.found.steps[-1]
    motion, cost = first.motion, first.error.cost
    constants = constants_of(motion.step.rule) if motion.step else (0.0,) * CONSTANTS
    targets = gather.examples.on_and_off(first.error.out.shape[0])
    pairs = np.zeros((2, SCALARS, 2))
    for into, own in zip(pairs, (motion, last.motion), strict=True):
        flat: list[Any] = []
        left = list(own.moves)  # among which the same statement may come twice
        for move in moves:
            mine = left.pop(0) if left and left[0].text == move.text else None
            flat += [(scalar.p, scalar.q) for scalar in mine.scalars] if mine else [(move.neutral, 0)]
        into[: len(flat)] = np.reshape(flat, (-1, 2))
    eta = motion.scalars[0].scalars.eta if e.learns else 0.0
    return np.array([eta, *constants, *targets, cost.threshold, *pairs.ravel()])


def source_of(e: Resident, shape: Shape, moves: Sequence[Move]) -> str:
    """The definitions for resident.cu: the network, how θ moves, and the shape."""
    step, x = e.found.steps[0], e.inputs
    *hidden, last = (forward.f for forward in step.forward)
    motion, theta = step.motion, step.forward[0].theta
    rule = rule_source(motion.step.rule) if motion.step else defined(STATES=len(motion.states))
    starts, _ = theta.layout.blocks(shape.task.itemsize)
    bytes_in = x.dtype == np.uint8
    return (
        rule
        + ("#define LABELLED\n" if shape.task.labelled else "")
        + network_source(
            hidden,
            step.error.cost,
            last,
            MOVE=statements(moves),
            LEARNS=int(e.learns),
            MOVE_SCALARS=sum(len(move.scalars) for move in moves),
            WEIGHTED=int(step.weights is not None),
            STARTS=", ".join(map(str, [0, *starts])),
            Input="unsigned char" if bytes_in else "Operand" if not e.gathers else "T",
            LD_X=x.ld,
            INPUT_SCALE=UINT8_SCALE if bytes_in else 1,
            **shape.constants,
        )
    )
