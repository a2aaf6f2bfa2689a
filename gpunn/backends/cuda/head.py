"""The head: a last layer of few outputs, from its feedforward to its gradient, in one launch of head.cu.

Alone, a layer of ten units takes five launches or more, of which each uses a small part of the device. The
record `Head` stands for its equations; `heads` puts it in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from gpunn.backends.cuda import head_ways
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.head_ways import Way, best_way, fours
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.network import Move, parts_of, spell, statements
from gpunn.backends.cuda.source import HEAD, cost_source, defined
from gpunn.core.equations import ApplyWeights, Equation, Forward, Gradient, HiddenError, OutputError
from gpunn.core.vector_equations import Add, Scale
from gpunn.functions.activations.outputs import SOFTMAX
from gpunn.functions.calls import Calls

SCALARS = 5  # that the landing of the gradient may need

Exchange: TypeAlias = tuple[Buffer, Buffer, Buffer]


@dataclass(eq=False, slots=True)
class Head(Equation):
    """Head: a[L] = f(w[L] a[L-1] + b[L]), BP1, δ[L-1] by BP2, [w b][L] by BP3 and BP4

    weights, hidden: these equations, if there are any. prepared: those that move w[L] before its gradient
    lands. exchange: (tags, parts of z, δ) in memory through which blocks exchange numbers.
    """

    forward: Forward
    error: OutputError
    weights: ApplyWeights | None
    hidden: HiddenError | None
    prepared: list[Scale | Add]
    gradient: Gradient
    way: Way
    exchange: Exchange


def promising(head: Head) -> bool:
    """Whether one launch is faster by estimate."""
    return head.way.quicker_than_separate_launches


def heads(
    k: Kernels, equations: Sequence[Equation], faster: Callable[[Head], bool] = promising
) -> list[Equation]:
    """Replace the equations of last layers by heads, if one kernel can do them and is the faster way."""
    done: list[Equation] = []
    share_out, at = cache(partial(way_and_exchange, k)), 0
    while at < len(equations):
        head = read_head(equations, at, share_out)
        if head and not faster(head):
            head = None
        done.append(head or equations[at])
        at += len(equations_of(head)) if head else 1
    return done


def equations_of(head: Head) -> list[Equation]:
    """The equations that the head stands for."""
    found = head.forward, head.error, head.weights, head.hidden, *head.prepared, head.gradient
    return [equation for equation in found if equation is not None]


def read_head(
    equations: Sequence[Equation], at: int, share_out: Callable[[int, int, int], tuple[Way, Exchange] | None]
) -> Head | None:
    """Read a head that starts at this equation; None at the first equation that does not belong to one."""

    def take(*kinds: type[Equation]) -> Any:
        nonlocal at
        if at < len(equations) and type(equations[at]) in kinds:
            at += 1
            return equations[at - 1]
        return None

    forward, error = take(Forward), take(OutputError)
    if forward is None or error is None or not outputs_of(forward, error):
        return None
    weights, hidden = take(ApplyWeights), take(HiddenError)
    prepared = list(iter(lambda: take(Scale, Add), None))
    gradient = take(Gradient)
    if gradient is None or not all(
        (
            weights is None or weights.delta is error.out,
            hidden is None or goes_back(hidden, forward, error),
            gradient.layer == forward.layer and gradient.delta is error.out and gradient.a is forward.a,
            moves_only_this_layer(prepared, forward, gradient),
        )
    ):
        return None
    (n, m), n_in = forward.z.shape, forward.a.shape[0]
    shared = share_out(n, n_in, m)
    return shared and Head(forward, error, weights, hidden, prepared, gradient, *shared)


def outputs_of(forward: Forward, error: OutputError) -> bool:
    """Whether these are feedforward and BP1 of one layer, with functions that have a C spelling."""
    same = error.z is forward.z and error.a is forward.out and error.f is forward.f
    spelled = error.cost.cuda is not None and (forward.f.cuda is not None or forward.f is SOFTMAX)
    n = forward.z.shape[0]
    return same and spelled and forward.z.ld == forward.out.ld == error.y.ld == n


def goes_back(hidden: HiddenError, forward: Forward, error: OutputError) -> bool:
    """Whether this is BP2 from that layer, with an f′ that has a C spelling."""
    same = hidden.theta is forward.theta and hidden.layer == forward.layer and hidden.delta is error.out
    buffers = [hidden.z, hidden.out, *([] if hidden.mask is None else [hidden.mask])]
    alike = all(x.ld == forward.a.ld for x in buffers)
    return same and hidden.a is forward.a and alike and hidden.f.cuda is not None


def moves_only_this_layer(prepared: list[Scale | Add], forward: Forward, gradient: Gradient) -> bool:
    """Whether these equations concern this layer of θ and of what its gradient lands in, and nothing else."""
    parts = [part for e in prepared for part in parts_of(e)]
    known, kinds = {forward.theta, gradient.into}, ("w", "wb")
    scalars = [e.alpha for e in prepared] + [gradient.alpha, gradient.beta]
    return len(scalars) <= SCALARS and all(
        part.layer == forward.layer and part.kind in kinds and part.of in known for part in parts
    )


def way_and_exchange(k: Kernels, n: int, n_in: int, m: int) -> tuple[Way, Exchange] | None:
    """Choose how a layer is shared out, and allocate the memory through which blocks exchange numbers."""
    way = best_way(n, n_in, m, k.memory.dtype.itemsize, k.device)
    if way is None:
        return None
    tags = k.memory.put(np.zeros(1 + way.blocks), np.int64)
    if way.cluster:  # through shared memory
        return way, (tags, k.memory.zero, k.memory.zero)
    return way, (tags, k.memory.new((way.blocks * way.exchanged,)), k.memory.new((way.exchanged,)))


def faster_by_the_clock(k: Kernels, separately: Callable[[list[Equation]], Calls], e: Head) -> bool:
    """Whether one launch is faster than the equations bound separately."""
    way, f, before = e.way, e.error.f.name, e.hidden.f.name if e.hidden else "input"
    together, apart = f"{way.blocks} blocks, {way.cluster} in a cluster", "apart"
    trials: dict[str, Callable[[], Calls]] = {
        together: lambda: launch(k, on_copies(k, e)),
        apart: lambda: separately(equations_of(on_copies(k, e))),
    }
    names = [together, apart] if promising(e) else [apart, together]
    task = f"a last layer ({way.n}, {way.n_in}), {before} and {f}, {e.error.cost.name}"
    task += f", {k.memory.precision}, {way.m} examples"
    return k.device.fastest(task, {name: trials[name] for name in names}) == together


def on_copies(k: Kernels, e: Head) -> Head:
    """Return a head that works on copies of the parameters, which a trial may move."""
    theta, into = e.forward.theta, e.gradient.into
    copies = {x: k.memory.new_parameters(x.layout, x.name) for x in {theta, into}}
    for x, copied in copies.items():
        k.memory.copy(x.flat, into=copied.flat)

    def moved(step: Scale | Add) -> Scale | Add:
        x = replace(step.x, of=copies[step.x.of])
        if isinstance(step, Scale):
            return replace(step, x=x)
        return replace(step, x=x, into=replace(step.into, of=copies[step.into.of]))

    return replace(
        e,
        forward=replace(e.forward, theta=copies[theta]),
        hidden=e.hidden and replace(e.hidden, theta=copies[theta]),
        prepared=[moved(step) for step in e.prepared],
        gradient=replace(e.gradient, into=copies[into]),
    )


def launch(k: Kernels, e: Head) -> Calls:
    """Bind one launch of the head's kernel."""
    way, a, l, zero = e.way, e.forward.a, e.forward.layer, k.memory.zero
    tile, whole = way.tile(k.device)
    scalars = [scalar for move in moves(e) for scalar in move.scalars]
    cells = [*map(k.memory.cell, scalars), *[zero] * SCALARS][:SCALARS]
    before = (a, 0, a, a) if e.hidden is None else _before(e.hidden)
    weights = (0, zero) if e.weights is None else (1, e.weights.weights)
    arguments = k.arguments(
        way.m, way.n_in, way.share, way.columns, tile, int(whole), a.ld, float(a.scale), a, *before,
        e.forward.theta.wb[l], e.gradient.into.wb[l], *cells, e.error.y, *weights, e.forward.z, e.forward.out,
        e.error.out.ld, e.error.out, *e.exchange,
    )  # fmt: skip
    kernel = k.compiled(source_of(e), HEAD, together=way.cluster == 0)("head")
    shared = way.shared_bytes(tile, way.m if whole else tile)
    return [k.device.launch(kernel, way.blocks, head_ways.THREADS, arguments, shared)]


def _before(e: HiddenError) -> tuple[Any, ...]:
    """The kernel's arguments of the layer before: z, whether there is a mask, the mask, and δ."""
    return (e.z, 0, e.z, e.out) if e.mask is None else (e.z, 1, e.mask, e.out)


def moves(e: Head) -> list[Move]:
    """Return how [w b] moves: statements over x, of θ, and s0, of what the gradient lands in otherwise."""
    names = {e.forward.theta: "x"} | ({} if e.gradient.into is e.forward.theta else {e.gradient.into: "s0"})
    spelled = spell([*e.prepared, e.gradient], names)
    assert spelled
    return spelled


def source_of(e: Head) -> str:
    """The definitions for head.cu: the functions, how [w b] moves, and the shared constants."""
    f, cost, into, theta = e.error.f, e.error.cost, e.gradient.into, e.forward.theta
    changed = {into, *(getattr(step, "into", step.x).of for step in e.prepared)}
    hidden = "" if e.hidden is None else hidden_source(e.hidden)
    return (
        hidden
        + cost_source(cost, f)
        + defined(
            N=e.way.n,
            COLUMN=fours(e.way.n),
            WIDTH=1 << (e.way.n - 1).bit_length(),
            CLUSTER=e.way.cluster,
            HEAD_THREADS=head_ways.THREADS,
            FEWEST=head_ways.FEWEST,
            SOFTMAX=int(f is SOFTMAX),
            PAIRED=int(cost.pairs(f)),
            MOVE=statements(moves(e)),
            MOVES_THETA=int(theta in changed),
            STATE=int(into is not theta),
            KEEPS=int((e.gradient.beta.p, e.gradient.beta.q) != (0, 0)),
        )
    )


def hidden_source(e: HiddenError) -> str:
    """The C spelling of f′ of the layer before: HIDDEN_PRIME(a, z)."""
    assert e.f.cuda
    return f"#define HIDDEN_PRIME(a, z) ({e.f.cuda[1]})\n"


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {Head: launch}
