"""The resident kernel's launch, for one network or for many.

A graph of a small network's steps spends most of its time between its kernels. If the network fits on a
multiprocessor, a block of resident.cu takes all steps of a plan instead: it gathers the examples, learns from
them and measures the outputs. Networks that differ in nothing that the kernel's source contains are trained
by one launch, a block each.

A network that is trained alone may have several blocks, which share out its inputs or the examples of a
mini-batch, as a cluster or in a grid. The estimates of shape_choice.py say which ways are worth a trial, and
a GPU's clock chooses among these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import Buffer, keeping
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.network import Move, merged, statements
from gpunn.backends.cuda.resident_pass import Resident
from gpunn.backends.cuda.shape_choice import best_shapes, quicker_than_a_graph
from gpunn.backends.cuda.shapes import SCALARS, Shape, up
from gpunn.backends.cuda.source import CONSTANTS, RESIDENT, constants_of, defined, network_source, rule_source
from gpunn.core.backend import UINT8_SCALE
from gpunn.functions.calls import Call, Calls

BUSY = 2  # blocks on each multiprocessor that measure outputs
TRIAL_STEPS = 50  # that the clock times at most


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
        each = max(1, BUSY * k.device.processors // len(self.passes))
        rows = [
            (own, part)
            for own, e in ((member(k, e, self.moves, shape), e) for e in self.passes)
            for part in e.parts(each, shape.columns)
        ]
        return launch(k, source_of(self.passes[0], shape, self.moves), shape, rows)


def launch(k: Kernels, source: str, shape: Shape, rows: Sequence[tuple[Member, tuple[int, int]]]) -> Call:
    """Bind a launch for members, each with its first example and how many it has."""
    table = k.memory.put(np.array([[*own.pointers, *part] for own, part in rows]).T, np.int64)
    kernel = k.compiled(source, RESIDENT, together=shape.grid)("train")
    blocks = len(rows) * shape.blocks
    call = k.device.launch(kernel, blocks, shape.threads, (table,), shape.shared_bytes)
    return keeping(call, *(buffer.memory for own, _ in rows for buffer in own.buffers if buffer))


def bound(k: Kernels, e: Resident, networks: int = 1) -> Launch | None:
    """Bind a launch for a pass; None if it is not possible, or not the faster way for one network.

    networks: how many passes like this will be launched together.
    """
    if networks == 1 and not e.learns:
        return None  # a graph needs no compilation
    able = able_shapes(k, e, networks)
    if not able or (networks == 1 and not quicker_than_a_graph(able[0])):
        return None
    return Launch(k, [e], by_the_clock(k, e, able)).bind() if networks == 1 else Launch(k, [e], able[0])


def able_shapes(k: Kernels, e: Resident, networks: int) -> Sequence[Shape]:
    """The shapes for a pass that are worth a trial, if so many are launched together."""
    device, task = k.device, e.task(k.memory.dtype.itemsize)
    room = max(1, device.processors // networks)  # blocks of a network
    each, grid = up(networks, device.processors), room if e.learns else 1
    return best_shapes(task, device.shared_bytes, each, min(device.cluster, room), grid)


def by_the_clock(k: Kernels, e: Resident, able: Sequence[Shape]) -> Shape:
    """Return the fastest of the shapes."""
    if len(able) == 1:
        return able[0]
    named = {shape.way: shape for shape in able}
    trials = {way: partial(trial, k, e, shape) for way, shape in named.items()}
    return named[k.device.fastest(f"{described(e)}, {k.memory.precision}", trials)]


def described(e: Resident) -> str:
    """Describe a step of the network: what its time depends on."""
    step, x = e.found.steps[0], e.inputs
    functions = ", ".join(forward.f.name for forward in step.forward)
    sizes = "-".join(str(n) for n in (x.shape[0], *(forward.z.shape[0] for forward in step.forward)))
    rule = step.motion.step.rule if step.motion.step else None
    by = type(rule).__name__ if rule else f"{len(step.motion.states)} states"
    m = step.error.out.shape[1]
    return f"network {sizes}, {functions}, {step.error.cost.name}, {by}, {m} examples of {x.dtype}"


def trial(k: Kernels, e: Resident, shape: Shape) -> Calls:
    """Bind some steps on copies of what they change, which take the pass back to its start."""
    m = min(e.m, TRIAL_STEPS * shape.task.m)
    own = on_copies(k, member(k, e, e.motion.moves, shape), m)
    steps = launch(k, source_of(e, shape, e.motion.moves), shape, [(own, (0, m))])
    return [steps, *k.each("advance", 1, -m, own.position)]


def on_copies(k: Kernels, own: Member, m: int) -> Member:
    """Return a Member that takes the first m examples in their order, and changes nothing of a run."""

    def copied(buffer: Buffer | None) -> Buffer | None:
        return buffer and k.memory.copy(buffer)

    return replace(
        own,
        theta=k.memory.copy(own.theta),
        state_0=copied(own.state_0),
        state_1=copied(own.state_1),
        order=None,
        position=k.memory.put(np.zeros(1), np.int64),
        etas=None,
        step=None,
        counter=copied(own.counter),
        losses=k.memory.new((m,)),
        hits=k.memory.new((m,), np.uint8),
    )


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


@dataclass(frozen=True)
class Member:
    """The pointers in the kernel's Member, in its order; see resident_layout.cu."""

    theta: Buffer
    state_0: Buffer | None
    state_1: Buffer | None
    order: Buffer | None
    position: Buffer
    xs: Buffer
    labels: Buffer | None
    targets: Buffer | None
    weights: Buffer | None
    etas: Buffer | None
    step: Buffer | None
    counter: Buffer | None
    losses: Buffer
    hits: Buffer
    numbers: Buffer
    exchange: Buffer | None
    flags: Buffer | None

    @property
    def buffers(self) -> list[Buffer | None]:
        """The buffers in the kernel's order."""
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def pointers(self) -> list[int]:
        """The pointers in the kernel's order; 0 for none."""
        return [buffer.pointer if buffer else 0 for buffer in self.buffers]


def member(k: Kernels, e: Resident, moves: Sequence[Move], shape: Shape) -> Member:
    """The Member of a pass."""
    step, gather, p = e.found.steps[0], e.found.gather, e.found.gather.p
    motion, given = step.motion, gather.examples
    labels, targets, weights = (
        (given.labels, given.targets, given.weights)
        if e.gathers
        else (gather.labels, gather.y, gather.weights)
    )
    state_0, state_1 = [*(state.flat for state in motion.states), None, None][:2]
    return Member(
        theta=step.forward[0].theta.flat,
        state_0=state_0,
        state_1=state_1,
        order=p.order if e.gathers else None,
        position=p.position,
        xs=e.inputs,
        labels=None if given.labels is None else labels,
        targets=targets if given.labels is None else None,
        weights=weights,
        etas=p.etas if step.rates else None,
        step=p.step if step.rates else None,
        counter=motion.step.steps if motion.step else None,
        losses=p.losses,
        hits=p.hits,
        numbers=k.memory.put(numbers_of(e, moves), np.float64),
        exchange=k.memory.new((shape.blocks * shape.exchanged,)) if shape.grid else None,
        flags=k.memory.put(np.zeros(shape.blocks), np.int64) if shape.grid else None,
    )


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
