"""Check which equations the resident kernel takes as a pass of a network, and that it refuses all others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import pytest
from networks import equations_of, steps_of

import gpunn
from gpunn.backends.cuda.network import merged, read_pass, statements
from gpunn.core.equations import Equation, Forward, Gradient, HiddenError, OutputError
from gpunn.core.optimizers import OPTIMIZERS, Collect
from gpunn.core.pass_equations import NextStep
from gpunn.core.vector_equations import Scale, SetRates, Shrink, Step

PLAIN = [gpunn.Dense(4), gpunn.Dense(3)]


def network(layers: list[gpunn.Dense] = PLAIN, **how: Any) -> gpunn.Network:
    return gpunn.Network(5, layers, "quadratic", seed=0, **how)


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("settings", [{}, {"l2": 0.1}, {"l1": 0.1, "l2": 0.1}], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_recognised(name: str, settings: dict[str, float], scheduled: bool) -> None:
    equations = equations_of(network(), OPTIMIZERS[name](**settings), 12, 5, scheduled=scheduled)
    assert [step.error.out.shape[1] for step in steps_of(equations)] == [5, 5, 2]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (gpunn.SGD(), "x = c[0] * sum + x;"),
        (gpunn.SGD(l2=1), "if (weight) x *= c[0]; x = c[1] * sum + x;"),
        (gpunn.Momentum(), "s0 = c[0] * sum + c[1] * s0; x += c[2] * s0;"),
        (gpunn.RMSProp(l2=1), "g = c[0] * sum; if (weight) g += c[1] * x; RULE"),
        (gpunn.AdamW(l2=1), "g = c[0] * sum; if (weight) x *= c[1]; RULE"),
        (gpunn.SGD(l1=1), "x = c[0] * sum + x; if (weight) x -= clamped(x, c[1]);"),
    ],
    ids=str,
)
def test_the_updates_equations_become_statements(optimizer: Any, expected: str) -> None:
    assert statements(steps_of(equations_of(network(), optimizer))[0].motion.moves) == expected


def test_statements_of_several_optimizers() -> None:
    of_each = [
        steps_of(equations_of(network(), gpunn.SGD(**how)))[0].motion.moves
        for how in ({"l2": 1}, {}, {"l1": 1})
    ]
    assert statements(reduce(merged, of_each)) == (
        "if (weight) x *= c[0]; x = c[1] * sum + x; if (weight) x -= clamped(x, c[2]);"
    )
    ahead, behind = (
        steps_of(equations_of(network(), make()))[0].motion.moves for make in (gpunn.Nesterov, gpunn.Momentum)
    )
    for both in (merged(ahead, behind), merged(behind, ahead)):
        assert [move.text for move in both] == [move.text for move in ahead]


@pytest.mark.parametrize(
    ("net", "optimizer"),
    [
        (network([gpunn.Dense(4, dropout=0.5), gpunn.Dense(3)]), gpunn.SGD()),
        (network([gpunn.Dense(4, batch_norm=True), gpunn.Dense(3)]), gpunn.SGD()),
        (network(input_dropout=0.5), gpunn.SGD()),
        (network(), gpunn.SGD(clip_norm=1)),
        (network(), gpunn.Adam(clip_norm=1)),
        (network(), gpunn.Adam(max_norm=1)),
        (network(), Collect()),
    ],
)
def test_other_steps_are_refused(net: gpunn.Network, optimizer: Any) -> None:
    assert read_pass(equations_of(net, optimizer)) is None


@dataclass(frozen=True)
class OnlyNumPy(gpunn.RMSProp):
    """A rule that has no C spelling."""

    cuda = None


def test_a_rule_without_a_spelling_is_refused() -> None:
    assert read_pass(equations_of(network(), OnlyNumPy())) is None


class Other(Equation):
    """Other: nobody knows what it does"""


@pytest.mark.parametrize(
    "kind", [Forward, OutputError, HiddenError, Gradient, Step, Shrink, SetRates, NextStep]
)
def test_an_unknown_equation_anywhere_is_refused(kind: type[Equation]) -> None:
    equations = equations_of(network(), gpunn.Adam(l1=0.1), scheduled=True)
    at = next(k for k, equation in enumerate(equations) if isinstance(equation, kind))
    for changed in (
        [*equations[:at], Other(), *equations[at:]],
        [*equations[: at + 1], Other(), *equations[at + 1 :]],
        [*equations[:at], Other(), *equations[at + 1 :]],
    ):
        assert read_pass(changed) is None


@pytest.mark.parametrize("kind", [Forward, OutputError, HiddenError, Gradient, SetRates, NextStep])
def test_a_missing_equation_is_noticed(kind: type[Equation]) -> None:
    equations = equations_of(network(), gpunn.Adam(), scheduled=True)
    at = next(k for k, equation in enumerate(equations) if isinstance(equation, kind))
    assert read_pass([*equations[:at], *equations[at + 1 :]]) is None


@pytest.mark.parametrize(
    ("kind", "operand"),
    [(Forward, "a"), (OutputError, "z"), (HiddenError, "delta"), (HiddenError, "a"), (Gradient, "delta")],
)
def test_other_operands_are_noticed(kind: type[Equation], operand: str) -> None:
    """An equation between other buffers, though of the same shape, is not the network's."""
    equations = equations_of(network(), gpunn.SGD())
    at = max(k for k, equation in enumerate(equations) if isinstance(equation, kind))
    if kind is Gradient:
        at -= 2  # of layer 2
    before: Any = equations[at]
    own = getattr(before, operand)
    other = own.copy() if hasattr(own, "copy") else replace(own)
    assert read_pass([*equations[:at], replace(before, **{operand: other}), *equations[at + 1 :]]) is None


def test_weights_that_change_before_they_are_read_are_refused() -> None:
    """BP2 would read w[2] after it shrank, but the resident kernel shrinks it later."""
    net = network([gpunn.Dense(4), gpunn.Dense(4), gpunn.Dense(3)])
    equations = equations_of(net, gpunn.SGD(l2=0.1))
    shrink = next(e for e in equations if isinstance(e, Scale) and e.x.layer == 2)
    others = [e for e in equations if e is not shrink]
    before_bp2 = next(k for k, e in enumerate(others) if isinstance(e, HiddenError) and e.layer == 2)
    assert read_pass(equations)
    assert read_pass([*others[:before_bp2], shrink, *others[before_bp2:]]) is None


def test_another_rate_is_refused() -> None:
    """The resident kernel gives the rule η itself."""
    equations = equations_of(network(), gpunn.RMSProp())
    at = next(k for k, e in enumerate(equations) if isinstance(e, Step))
    step: Any = equations[at]
    half = replace(step, eta=replace(step.eta, q=0.5))
    assert read_pass([*equations[:at], half, *equations[at + 1 :]]) is None
    assert read_pass([*equations[:at], step, *equations[at:]]) is None  # two of them
