"""Recognise a whole pass of a network in a list of equations, for the kernel that does it all.

`read_pass` follows the records one by one, and gives up at the first that it does not know. The update's
equations are elementwise, so they become the statements by which that kernel moves each parameter: their C
spelling is put together here, in their own order, whatever the optimizer is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from gpunn.core.equations import ApplyWeights, Equation, Forward, Gradient, HiddenError, OutputError
from gpunn.core.parameters import Parameters, Part
from gpunn.core.pass_equations import Advance, Distort, Gather, Measure, NextStep, WeighLosses
from gpunn.core.scalars import Scalar
from gpunn.core.vector_equations import Add, RefreshLowPrecision, Scale, SetRates, Shrink, Step

ELEMENTWISE = (Scale, Add, Shrink, Step)
MOST_STATES = 2  # arrays like θ that the update may keep


@dataclass(frozen=True)
class Move:
    """A statement in C over x, g, sum, the states s0 and s1, and scalars.

    Attributes:
        text: the statement, with {} for each scalar.
        neutral: the value of its only scalar with which it does nothing, if there is one.
    """

    text: str
    scalars: tuple[Scalar, ...] = ()
    neutral: float | None = None


@dataclass(frozen=True)
class Motion:
    """How each parameter moves.

    Attributes:
        moves: the statements, in their order.
        states: the parameters s0 and s1.
        step: the equation of the optimizer's rule, if it has one.
    """

    moves: list[Move]
    states: list[Parameters]
    step: Step | None

    @property
    def scalars(self) -> list[Scalar]:
        """The scalars of all statements."""
        return [scalar for move in self.moves for scalar in move.scalars]


def statements(moves: Sequence[Move]) -> str:
    """Write the moves in C, with c[0], c[1], … for the scalars."""
    names = (f"c[{k}]" for k in range(sum(len(move.scalars) for move in moves)))
    return " ".join(move.text.format(*islice(names, len(move.scalars))) for move in moves)


def merged(moves: Sequence[Move], others: Sequence[Move]) -> list[Move]:
    """Return the statements of both, in an order that suits both; what is not neutral must be the same."""
    found, left = [], list(others)
    for move in moves:
        ahead = next((k for k, other in enumerate(left) if other.neutral is None), len(left))
        texts = [other.text for other in left[:ahead]]
        at = ahead if move.neutral is None else texts.index(move.text) if move.text in texts else None
        if at is not None:
            found += left[:at]
            left = left[at + 1 :]
        found.append(move)
    return found + left


@dataclass(frozen=True)
class NetworkStep:
    """One step of a network: its equations by kind, l = 1…L or backwards."""

    rates: SetRates | None
    forward: list[Forward]
    error: OutputError
    weights: ApplyWeights | None
    motion: Motion


@dataclass(frozen=True)
class NetworkPass:
    """A pass that learns, or a chunk of one: its equations by kind."""

    gather: Gather
    distort: Distort | None
    steps: list[NetworkStep]
    measure: Measure
    advance: Advance

    @property
    def before(self) -> list[Equation]:
        """The equations before the first step."""
        return [self.gather, self.distort] if self.distort else [self.gather]


def read_pass(equations: Sequence[Equation]) -> NetworkPass | None:
    """Return the pass if these equations are one, of one network; else None."""
    reader, steps = StepReader(equations), []
    gather, distort = reader.take(Gather), reader.take(Distort)
    while (step := reader.read()) is not None:
        steps.append(step)
    measure, weighed, advance = reader.take(Measure), reader.take(WeighLosses), reader.take(Advance)
    if not steps or gather is None or measure is None or advance is None or reader.at < len(equations):
        return None
    if (weighed is None) is not (gather.weights is None) or not all(follows(s, gather) for s in steps):
        return None
    own = steps[0].error
    if (measure.cost, measure.f, measure.p) != (own.cost, own.f, gather.p):
        return None
    return NetworkPass(gather, distort, steps, measure, advance)


def read_evaluation(equations: Sequence[Equation]) -> NetworkPass | None:
    """Return the pass if these equations are one that measures the outputs and learns nothing; else None.

    Its steps have a BP1 that is not done, and no moves.
    """
    reader, steps = StepReader(equations), []
    gather = reader.take(Gather)
    reader.take(RefreshLowPrecision)
    while forward := reader.take_layers():
        steps.append(forward)
    measure, advance = reader.take(Measure), reader.take(Advance)
    if not steps or gather is None or gather.weights is not None or measure is None or advance is None:
        return None
    if reader.at < len(equations) or any(not chained_layers(forward) for forward in steps):
        return None
    said = [NetworkStep(None, f, unlearnt(f, measure), None, Motion([], [], None)) for f in steps]
    return NetworkPass(gather, None, said, measure, advance)


def unlearnt(forward: list[Forward], measure: Measure) -> OutputError:
    """Return the BP1 that would follow the layers."""
    last = forward[-1]
    return OutputError(last.layer, measure.cost, last.f, last.z, last.out, last.z, last.out)


def follows(step: NetworkStep, gather: Gather) -> bool:
    """Whether the step uses weights if examples are gathered with some, and is of the same pass."""
    weighted = (step.weights is None) is (gather.weights is None)
    return weighted and (step.rates is None or step.rates.p is gather.p)


class StepReader:
    """Reads equations one after another.

    Attributes:
        at: the index of the next one.
    """

    def __init__(self, equations: Sequence[Equation]) -> None:
        self.equations, self.at = equations, 0

    def take(self, *kinds: type[Equation]) -> Any:
        """Return the next equation if it is of one of these kinds; else None."""
        if self.at < len(self.equations) and type(self.equations[self.at]) in kinds:
            self.at += 1
            return self.equations[self.at - 1]
        return None

    def take_all(self, *kinds: type[Equation]) -> list[Any]:
        return list(iter(lambda: self.take(*kinds), None))

    def take_layers(self) -> list[Forward]:
        """Return the forward equations of one mini-batch, from layer 1 on."""
        found: list[Forward] = []
        while self.at < len(self.equations):
            e = self.equations[self.at]
            if not isinstance(e, Forward) or e.layer != len(found) + 1:
                break
            found.append(self.take(Forward))
        return found

    def read(self) -> NetworkStep | None:
        """Read a step; None if there is no other, and nothing is read then."""
        start = self.at
        if (step := self._read()) is None:
            self.at = start
        return step

    def _read(self) -> NetworkStep | None:
        """Read a step, or up to the first equation that does not belong to one."""
        rates = self.take(SetRates)
        self.take(RefreshLowPrecision)
        forward, error = self.take_all(Forward), self.take(OutputError)
        if not forward or error is None or not chained(forward, error):
            return None
        weights = self.take(ApplyWeights)
        moves, next_step = self._backwards(forward, error), self.take(NextStep)
        if moves is None or (rates and rates.p) is not (next_step and next_step.p):
            return None
        if weights is not None and weights.delta is not error.out:
            return None
        motion = motion_of(moves, forward[0].theta, len(forward))
        if motion is None or (rates and rates.scalars is not motion.scalars[0].scalars):
            return None
        return NetworkStep(rates, forward, error, weights, motion)

    def _backwards(self, forward: list[Forward], error: OutputError) -> list[Any] | None:
        """Read BP2, BP3 and BP4 of all layers; return what moves the parameters."""
        moves, delta = [], error.out
        for l in range(len(forward), 0, -1):
            hidden = self.take(HiddenError) if l > 1 else None
            own = self.take_all(Scale, Add)
            if any(part.layer < l for e in own for part in parts_of(e)):
                return None  # BP2 has still to read w of the layers before
            moves += own
            gradient = self.take(Gradient)
            if gradient is None or not lands(gradient, forward[l - 1], delta):
                return None
            moves.append(gradient)
            if l > 1:
                if hidden is None or not goes_back(hidden, forward[l - 1], forward[l - 2], delta):
                    return None
                delta = hidden.out
        return [*moves, *self.take_all(*ELEMENTWISE)]


def chained(forward: list[Forward], error: OutputError) -> bool:
    """Whether each layer of the same θ reads the one before, and the error the last."""
    last = forward[-1]
    return chained_layers(forward) and error.z is last.z and error.a is last.out and error.f is last.f


def chained_layers(forward: list[Forward]) -> bool:
    """Whether each layer of the same θ reads the one before."""
    theta = forward[0].theta
    layers = all(e.layer == l and e.theta is theta for l, e in enumerate(forward, 1))
    return layers and all(after.a is before.out for before, after in pairwise(forward))


def lands(gradient: Gradient, forward: Forward, delta: Any) -> bool:
    """Whether this is BP3 and BP4 of that layer and error."""
    return gradient.layer == forward.layer and gradient.delta is delta and gradient.a is forward.a


def goes_back(hidden: HiddenError, forward: Forward, before: Forward, delta: Any) -> bool:
    """Whether this is BP2 from that layer and error to the layer before, without dropout."""
    same_layer = hidden.layer == forward.layer and hidden.theta is forward.theta and hidden.delta is delta
    return same_layer and hidden.a is before.out and hidden.f is before.f and hidden.mask is None


def motion_of(moves: list[Any], theta: Parameters, depth: int) -> Motion | None:
    """Put together how each parameter moves; None unless it is the same for all layers, and spelled in C."""
    steps = [e for e in moves if isinstance(e, Step)]
    step = steps[0] if steps else None
    used = [e.into for e in moves if isinstance(e, Gradient)]
    used += [part.of for e in moves for part in parts_of(e)]
    states = list(step.states) if step else [x for x in dict.fromkeys(used) if x is not theta]
    names = {theta: "x", **{state: f"s{k}" for k, state in enumerate(states)}}
    if step:
        names[step.g] = "g"
        whole_rate = (step.eta.p, step.eta.q) == (0, 1)
        if len(steps) > 1 or step.rule.cuda is None or step.theta is not theta or not whole_rate:
            return None
    moved = step is not None or any(
        theta is getattr(e.into, "of", e.into) for e in moves if hasattr(e, "into")
    )
    if not moved or len(states) > MOST_STATES or not names.keys() >= set(used):
        return None
    spelled = [spell([e for e in moves if concerns(e, l)], names) for l in range(1, depth + 1)]
    if spelled[0] is None or any(layer != spelled[0] for layer in spelled):
        return None
    motion = Motion(spelled[0], states, step)
    if any(scalar.scalars is not motion.scalars[0].scalars for scalar in motion.scalars):
        return None
    return motion


def parts_of(equation: Equation) -> list[Part]:
    """The parts of parameters that an elementwise equation reads or writes."""
    named = (getattr(equation, name, None) for name in ("x", "into"))
    return [part for part in named if isinstance(part, Part)]


def concerns(equation: Equation, layer: int) -> bool:
    """Whether the equation moves this layer's weights or biases."""
    own = getattr(equation, "layer", 0)
    return {own, *(part.layer for part in parts_of(equation))} <= {0, layer}


def spell(moves: list[Any], names: dict[Parameters, str]) -> list[Move] | None:
    """Write one layer's equations as C statements; None if one has no spelling."""
    found = []
    for e in moves:
        if isinstance(e, Gradient):
            into = names[e.into]
            if fixed(e.beta, 0) or fixed(e.beta, 1):
                kept = f" + {into}" if e.beta.p else ""
                found.append(Move(f"{into} = {{}} * sum{kept};", (e.alpha,)))
            else:
                found.append(Move(f"{into} = {{}} * sum + {{}} * {into};", (e.alpha, e.beta)))
        elif isinstance(e, Step):
            found.append(Move("RULE"))
        else:
            kinds = {part.kind for part in parts_of(e)}
            if len(kinds) > 1 or "norm" in kinds:
                return None
            x, weights_only = names[e.x.of], "if (weight) " if kinds == {"w"} else ""
            if isinstance(e, Scale):
                found.append(Move(f"{weights_only}{x} *= {{}};", (e.alpha,), 1))
            elif isinstance(e, Add):
                found.append(Move(f"{weights_only}{names[e.into.of]} += {{}} * {x};", (e.alpha,), 0))
            else:
                found.append(Move(f"{weights_only}{x} -= clamped({x}, {{}});", (e.limit,), 0))
    return found


def fixed(scalar: Scalar, value: float) -> bool:
    """Whether the scalar is this constant, by which the statements need not multiply."""
    return (scalar.p, scalar.q) == (value, 0)
