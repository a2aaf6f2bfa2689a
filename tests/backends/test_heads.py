"""Check which equations become a head, how it is shared out, and how many launches a step has then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from heads import SHARED, equations_on_cuda, head_of

import gpunn
from gpunn.backends.cuda import head_ways, resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.head import Head, equations_of, heads, moves
from gpunn.backends.cuda.head_ways import Way, best_way
from gpunn.backends.cuda.network import statements
from gpunn.core import plan
from gpunn.core.equations import Equation, Forward, Gradient, HiddenError, OutputError
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.core.vector_equations import Scale

PLAIN = [gpunn.Dense(40, "relu"), gpunn.Dense(3, "softmax")]


def network(layers: list[gpunn.Dense] = PLAIN, cost: str | None = None, **how: Any) -> gpunn.Network:
    return gpunn.Network(5, layers, cost, seed=0, **how)


def found(k: Any, equations: list[Equation]) -> bool:
    return any(isinstance(e, Head) for e in heads(k, equations))


@pytest.mark.parametrize(
    "settings", [{}, {"l2": 0.1}, {"l1": 0.1}, {"clip_norm": 1.0}, {"max_norm": 1.0}], ids=str
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_heads(name: str, settings: dict[str, float]) -> None:
    head_of(network(), OPTIMIZERS[name](**settings))


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (gpunn.SGD(), "x = c[0] * sum + x;"),
        (gpunn.SGD(l2=1), "if (weight) x *= c[0]; x = c[1] * sum + x;"),
        (gpunn.Momentum(), "s0 = c[0] * sum + c[1] * s0;"),
        (gpunn.Adam(l2=1), "s0 = c[0] * sum;"),
    ],
    ids=str,
)
def test_the_gradient_lands_where_the_optimizer_wants_it(optimizer: Any, expected: str) -> None:
    assert statements(moves(head_of(network(), optimizer))) == expected


@pytest.mark.parametrize("precision", ["float32", "float64", "tf32", "bf16"])
def test_the_equations_are_those_of_the_last_layer(precision: str) -> None:
    k, equations = equations_on_cuda(network(), gpunn.SGD(l2=0.1), precision=precision)
    done = heads(k, equations)
    at = next(at for at, e in enumerate(done) if isinstance(e, Head))
    head: Any = done[at]
    assert [*done[:at], *equations_of(head), *done[at + 1 :]] == equations


@pytest.mark.parametrize(
    "net",
    [
        network([gpunn.Dense(40), gpunn.Dense(33, "softmax")]),
        network([gpunn.Dense(2049), gpunn.Dense(3, "softmax")]),
        network([gpunn.Dense(40, "softmax"), gpunn.Dense(3, "softmax")]),
        network([gpunn.Dense(40), gpunn.Dense(3, "identity")], "hinge"),
    ],
    ids=["33 outputs", "2049 inputs", "softmax before", "hinge"],
)
def test_other_last_layers_are_left_alone(net: gpunn.Network) -> None:
    assert not found(*equations_on_cuda(net, gpunn.SGD()))


def test_too_many_examples_and_too_little_shared_memory() -> None:
    assert not found(*equations_on_cuda(network(), gpunn.SGD(), 4097))
    assert not found(*equations_on_cuda(network(), gpunn.SGD(), shared_bytes=4_000))
    assert not found(*equations_on_cuda(network(), gpunn.SGD(), shared_bytes=0))


class Other(Equation):
    """Other: nobody knows what it does"""


@pytest.mark.parametrize("kind", [OutputError, HiddenError, Scale, Gradient])
def test_an_unknown_equation_in_between_is_noticed(kind: type[Equation]) -> None:
    k, equations = equations_on_cuda(network(), gpunn.SGD(l2=0.1))
    at = next(at for at, equation in enumerate(equations) if isinstance(equation, kind))
    assert found(k, equations)
    assert not found(k, [*equations[:at], Other(), *equations[at:]])


@pytest.mark.parametrize(
    ("kind", "operand"),
    [
        (Forward, "a"), (Forward, "z"), (OutputError, "a"), (OutputError, "z"), (HiddenError, "delta"),
        (HiddenError, "a"), (Gradient, "delta"), (Gradient, "a"), (Gradient, "layer"), (Scale, "x"),
    ],
)  # fmt: skip
def test_other_operands_are_noticed(kind: type[Equation], operand: str) -> None:
    """An equation between other buffers, though of the same shape, is not the last layer's."""
    k, equations = equations_on_cuda(
        network([gpunn.Dense(3), gpunn.Dense(3)], "quadratic"), gpunn.SGD(l2=0.1)
    )
    last = [at for at, equation in enumerate(equations) if isinstance(equation, kind)]
    at = last[1] if kind is Forward else last[0]
    before: Any = equations[at]
    own = getattr(before, operand)
    other: Any = replace(own, layer=1) if kind is Scale else 1 if operand == "layer" else replace(own)
    assert isinstance(own, Buffer) or kind is Scale or operand == "layer"
    changed = replace(before, **{operand: other}) if operand != "layer" else _relabelled(before)
    assert not found(k, [*equations[:at], changed, *equations[at + 1 :]])


def _relabelled(gradient: Gradient) -> Gradient:
    """The gradient of layer 1 by mistake."""
    other = replace(gradient)
    other.layer = 1
    return other


@pytest.mark.parametrize(
    ("n", "n_in", "m", "cluster", "way"),
    [
        (10, 128, 128, 8, (8, 8)),
        (10, 512, 128, 8, (8, 8)),
        (10, 1024, 1024, 8, (128, 0)),
        (10, 128, 128, 1, (32, 0)),
        (3, 10, 4, 8, (1, 1)),
    ],
)
def test_the_way_that_is_chosen(n: int, n_in: int, m: int, cluster: int, way: tuple[int, int]) -> None:
    device = EmulatedDevice(shared_bytes=SHARED, cluster=cluster)
    device.processors = 132  # type: ignore[misc]
    chosen = best_way(n, n_in, m, 4, device)
    assert isinstance(chosen, Way)
    assert (chosen.blocks, chosen.cluster) == way


def test_separate_launches_are_faster_for_a_large_layer_on_few_processors() -> None:
    device = EmulatedDevice(shared_bytes=SHARED, cluster=8)
    for n_in, m, faster in ((2048, 4096, False), (128, 128, True)):
        way = best_way(10, n_in, m, 4, device)
        assert way
        assert way.quicker_than_separate_launches == faster


@pytest.mark.parametrize("n", [1, 10, 32])
def test_every_size_has_a_way(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even on a small GPU."""
    device = EmulatedDevice(shared_bytes=99 << 10, cluster=1)
    device.processors = 16  # type: ignore[misc]
    monkeypatch.setattr(head_ways, "SEPARATE", (np.inf, 0))
    for n_in in (1, 30, 511, 2048):
        for m in (1, 77, 4096):
            assert best_way(n, n_in, m, 4, device), (n, n_in, m)


def calls_of_a_step(sizes: tuple[int, ...], f: str, m: int, optimizer: Any) -> int:
    """Count the launches and products by which a plan of two steps has more than a plan of one."""
    net = gpunn.Network(
        sizes[0], [gpunn.Dense(n, f) for n in sizes[1:-1]] + [gpunn.Dense(sizes[-1], "softmax")]
    )
    be, counts = Cuda(EmulatedDevice(shared_bytes=SHARED, cluster=8)), []
    be.capture = lambda calls: [*map(counts.append, [len(calls)])]  # type: ignore[method-assign, func-returns-value]
    for steps in (1, 2):
        model = net.bind(be)
        examples = be.data.examples(np.zeros((sizes[0], steps * m)), np.zeros(steps * m, int), None)
        update = optimizer.bind(be, model.theta)
        plan.bind(model, examples, be.data.new_pass(steps * m), steps * m, m, update=update, training=True)
    return counts[1] - counts[0]


@pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")
@pytest.mark.parametrize(
    ("sizes", "f", "optimizer", "most"),
    [
        ((784, 128, 10), "relu", gpunn.SGD(), 3),
        ((784, 128, 10), "sigmoid", gpunn.SGD(), 4),
        ((784, 128, 10), "relu", gpunn.Adam(), 5),
        ((784, 1024, 1024, 10), "relu", gpunn.SGD(), 6),
    ],
)
def test_launches_of_a_step(
    sizes: tuple[int, ...], f: str, optimizer: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "best_shapes", lambda *_: ())
    assert calls_of_a_step(sizes, f, 128, optimizer) == most
