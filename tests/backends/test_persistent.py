"""The persistent kernel follows the same trajectory as separate steps, for all networks it is chosen for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import by_the_book
import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from helpers import need_cuda
from hypothesis import given, settings
from hypothesis import strategies as st

import gpunn
from gpunn import backends
from gpunn.backends import Host
from gpunn.backends.cuda import backend as cuda
from gpunn.backends.cuda import persistent
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.persistent import BLOCKS, Shape
from gpunn.backends.host import backend as host
from gpunn.core.equations import Equation
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.core.update import ByRule
from gpunn.core.vector_equations import Step
from gpunn.training import schedules

SHARED = 200 << 10
SIGMOIDS = [gpunn.Dense(6), gpunn.Dense(4)]
ELEMENTWISE = [f for f in gpunn.ACTIVATIONS.values() if f.cuda]
CHAIN = [gpunn.Dense(5 + k, f.name, "glorot") for k, f in enumerate(ELEMENTWISE)]
LINEAR = gpunn.Dense(3, "identity")


@dataclass
class Case:
    """A network and how it is trained."""

    layers: list[gpunn.Dense]
    cost: str | None = None
    n_in: int = 19
    m: int = 43
    batch_size: int = 8
    how: dict[str, Any] | None = None


CASES = {
    "the book's": Case(SIGMOIDS, "quadratic"),
    "softmax": Case([gpunn.Dense(6), gpunn.Dense(4, "softmax")], "cross-entropy"),
    "every activation": Case([*CHAIN, gpunn.Dense(4, "softmax")], "cross-entropy"),
    "no hidden layer": Case([gpunn.Dense(4)], "quadratic"),
    "no hidden layer, softmax": Case([gpunn.Dense(4, "softmax")], "cross-entropy"),
    "z is read": Case([gpunn.Dense(6), gpunn.Dense(1, "sigmoid")], "binary-cross-entropy"),
    "wider than a block": Case([gpunn.Dense(150), gpunn.Dense(70)], "quadratic"),
    "many examples a step": Case(SIGMOIDS, "quadratic", m=150, batch_size=70),
    "one example a step": Case(SIGMOIDS, "quadratic", m=9, batch_size=1),
    "one short step": Case(SIGMOIDS, "quadratic", m=3, batch_size=8),
    "several plans": Case(SIGMOIDS, "quadratic", m=700, batch_size=5),
    "adamw": Case(SIGMOIDS, "quadratic", how={"optimizer": gpunn.AdamW(0.05, l1=0.01)}),
    "nesterov": Case(SIGMOIDS, "quadratic", how={"optimizer": gpunn.Nesterov(0.3, l2=0.02, l1=0.01)}),
    "scheduled": Case(SIGMOIDS, "quadratic", how={"schedule": "one-cycle", "optimizer": gpunn.Adam(0.05)}),
    "weights": Case(SIGMOIDS, "quadratic", how={"sample_weight": np.arange(43) % 3}),
    "weights, softmax": Case(
        [gpunn.Dense(6), gpunn.Dense(4, "softmax")],
        "cross-entropy",
        how={"sample_weight": np.arange(43) % 3, "label_smoothing": 0.1},
    ),
}


@pytest.fixture(params=["emulated", "cuda"])
def on(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Cuda | Host]]:
    """Return a function that selects the backend by name; "device" has room for small networks."""
    kind, devices, choose = request.param, [], backends.choose
    if kind == "cuda":
        need_cuda()
    if kind == "emulated" and not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    monkeypatch.setattr(persistent, "ADVANTAGE", 0)
    if kind == "emulated":
        monkeypatch.setattr(persistent, "THREADS", 64)

    def use(name: str, dtype: str = "float64") -> Any:
        be: Any = Host(dtype)
        if name == "device" and kind == "cuda":
            be = choose("cuda", dtype)
        elif name == "device":
            devices.append(EmulatedDevice(shared_bytes=SHARED))
            be = Cuda(devices[-1], dtype)
        monkeypatch.setattr(backends, "choose", lambda *_: be)
        return be

    yield use
    for device in devices:
        device.check()


def spread_over(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent, "BLOCKS", (blocks,))


def count_launches(be: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that collects the number of blocks of each launch of the persistent kernel."""
    launch, found = be.device.launch, []

    def counted(kernel: Any, blocks: int, *rest: Any) -> Any:
        if len(rest) == 3:  # persistent kernels pass shared memory
            found.append(blocks)
        return launch(kernel, blocks, *rest)

    monkeypatch.setattr(be.device, "launch", counted)
    return found


def theta_after(case: Case, dtype: str = "float64", epochs: int = 2) -> tuple[np.ndarray, gpunn.History]:
    net = gpunn.Network(case.n_in, case.layers, case.cost, 0, dtype)
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((case.n_in, case.m)), rng.integers(0, max(2, net.sizes[-1]), case.m)
    how = {"optimizer": gpunn.SGD(0.5), **(case.how or {})}
    history = net.fit(X, y, epochs=epochs, batch_size=case.batch_size, **how)
    return net.theta.copy(), history


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("name", CASES)
def test_it_equals_separate_steps(
    name: str, blocks: int, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spread_over(blocks, monkeypatch)
    launches = count_launches(on("device"), monkeypatch)
    theta, history = theta_after(CASES[name])
    assert set(launches) == {blocks}
    on("cpu")
    expected, as_expected = theta_after(CASES[name])
    np.testing.assert_allclose(theta, expected, rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(history, as_expected, strict=True):
        assert (mine.loss, mine.accuracy) == (pytest.approx(theirs.loss, rel=1e-10), theirs.accuracy)


@pytest.mark.parametrize("settings", [{}, {"l2": 0.3}, {"l1": 0.05}, {"l2": 0.3, "l1": 0.05}], ids=str)
@pytest.mark.parametrize("schedule", [None, schedules.cosine()], ids=["constant", "scheduled"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_the_textbooks(
    name: str,
    schedule: Any,
    settings: dict[str, float],
    on: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two epochs of three mini-batches, the last one short, each epoch in one launch."""
    launches = count_launches(on("device"), monkeypatch)
    X, y = np.random.default_rng(1).standard_normal((5, 20)), np.arange(20) % 3
    net = gpunn.Network(5, [gpunn.Dense(6, "tanh"), gpunn.Dense(3, "softmax")], seed=0, dtype="float64")
    chosen, how = {"l2": 0.0, **settings}, {"epochs": 2, "batch_size": 8}
    expected = by_the_book.train(net, X, y, name, 0.05, schedule=schedule, **how, **chosen)
    optimizer = OPTIMIZERS[name](0.05, **chosen)
    net.fit(X, y, optimizer=optimizer, schedule=schedule, shuffle=False, **how)
    assert len(launches) == 1
    for mine, theirs in zip(net.weights + net.biases, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


class OwnStep(Step):
    """Step: θ moves as the persistent kernel cannot know"""


@dataclass(frozen=True)
class OwnRule(gpunn.RMSProp):
    """A rule whose equation has a kernel of its own, but no expression for the persistent kernel."""

    def bind(self, be: Any, theta: Any) -> ByRule:
        class Update(ByRule):
            def move(self) -> Iterator[Equation]:
                for step in super().move():
                    yield OwnStep(**{field.name: getattr(step, field.name) for field in fields(step)})

        return Update(self, be, theta)


def test_a_rule_without_an_expression_is_run_another_way(
    on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tables in (cuda, host):
        monkeypatch.setitem(tables.LOWER, OwnStep, tables.LOWER[Step])
    launches = count_launches(on("device"), monkeypatch)
    case = Case(SIGMOIDS, "quadratic", how={"optimizer": OwnRule(0.01)})
    theta, _ = theta_after(case)
    assert not launches
    on("cpu")
    np.testing.assert_allclose(theta, theta_after(case)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cost", ["mae", "huber", "poisson"])
def test_other_costs(cost: str, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [gpunn.Dense(6, "tanh"), gpunn.Dense(1, "exp" if cost == "poisson" else "identity")]
    X, found = np.random.default_rng(0).standard_normal((5, 40)), []
    launches = count_launches(on("device"), monkeypatch)
    for _ in range(2):
        net = gpunn.Network(5, layers, cost, 0, "float64")
        net.fit(X, np.abs(X.sum(0)), epochs=3, batch_size=16, optimizer=gpunn.SGD(0.05))
        found.append(net.theta.copy())
        on("cpu")
    assert launches
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-12)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    m=st.integers(1, 60),
    batch_size=st.integers(1, 40),
    blocks=st.sampled_from(BLOCKS),
)
def test_any_shape(
    sizes: list[int],
    m: int,
    batch_size: int,
    blocks: int,
    on: Callable[..., Any],
) -> None:
    """Inputs that cannot be split among so many blocks are trained in separate steps, with equal results."""
    case = Case([gpunn.Dense(n) for n in sizes[1:]], "quadratic", sizes[0], m, batch_size)
    with pytest.MonkeyPatch.context() as monkeypatch:
        spread_over(blocks, monkeypatch)
        on("device")
        theta, _ = theta_after(case)
        on("cpu")
        np.testing.assert_allclose(theta, theta_after(case)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", [gpunn.Nesterov(0.3), gpunn.Adam(0.05)])
def test_float32_is_bitwise_repeatable(
    optimizer: gpunn.SGD | gpunn.Adam, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spread_over(4, monkeypatch)
    case, thetas = Case(SIGMOIDS, "quadratic", how={"optimizer": optimizer}), []
    for _ in range(2):
        on("device", "float32")
        thetas.append(theta_after(case, "float32", 3)[0])
    assert thetas[0].tobytes() == thetas[1].tobytes()
    on("cpu", "float32")
    np.testing.assert_allclose(thetas[0], theta_after(case, "float32", 3)[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("optimizer", [gpunn.Momentum(0.3), gpunn.Adam(0.05), gpunn.RMSProp(0.01)])
def test_a_fit_in_two_parts(optimizer: gpunn.SGD | gpunn.Adam, on: Callable[..., Any]) -> None:
    """The optimizer's state is written back and loaded again without losing a bit."""
    X, y, thetas = np.random.default_rng(0).standard_normal((19, 43)), np.arange(43) % 4, []
    for parts in ([4], [1, 3]):
        on("device")
        net, state = gpunn.Network(19, SIGMOIDS, "quadratic", 0, "float64"), {}
        for epochs in parts:
            net.fit(X, y, epochs=epochs, batch_size=8, optimizer=optimizer, optimizer_state=state)
        thetas.append(net.theta.tobytes())
    assert thetas[0] == thetas[1]


@pytest.mark.parametrize(
    ("layers", "cost", "how"),
    [
        ([gpunn.Dense(6, dropout=0.5), gpunn.Dense(4)], "quadratic", {}),
        ([gpunn.Dense(6, batch_norm=True), gpunn.Dense(4)], "quadratic", {}),
        ([gpunn.Dense(6, "softmax"), gpunn.Dense(4)], "quadratic", {}),
        ([gpunn.Dense(6), gpunn.Dense(4, "softmax")], "quadratic", {}),
        ([gpunn.Dense(6), gpunn.Dense(4, "identity")], "hinge", {}),
        (SIGMOIDS, "quadratic", {"optimizer": gpunn.SGD(0.1, clip_norm=1.0)}),
        (SIGMOIDS, "quadratic", {"optimizer": gpunn.Adam(max_norm=1.0)}),
    ],
)
def test_other_networks_are_trained_in_separate_steps(
    layers: list[gpunn.Dense],
    cost: str,
    how: dict[str, Any],
    on: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launches = count_launches(on("device"), monkeypatch)
    theta_after(Case(layers, cost, how=how))
    assert not launches


def test_the_shared_memory_is_not_larger_than_needed(
    on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one Four less than the layout asks for, the kernel writes past the end."""
    device = getattr(on("device"), "device", None)
    if not isinstance(device, EmulatedDevice):
        pytest.skip("a GPU has no fence around a block's shared memory")
    whole = Shape.layout
    monkeypatch.setattr(Shape, "layout", lambda *args: (whole(*args)[0], whole(*args)[1] - 4))
    with pytest.raises(AssertionError, match="train: a write past the block's shared memory"):
        theta_after(CASES["wider than a block"])


class Room:
    """A backend's memory, as far as the choice asks for it."""

    dtype = np.dtype("float32")

    def __init__(self, processors: int, shared_bytes: int) -> None:
        self.device = self
        self.processors, self.shared_bytes = processors, shared_bytes


@pytest.mark.parametrize(
    ("sizes", "m", "states", "room", "blocks"),
    [
        ((784, 30, 10), 10, 0, Room(132, 227 << 10), 8),  # the book's
        ((784, 16, 16, 10), 100, 0, Room(132, 227 << 10), 8),  # 3Blue1Brown's
        ((784, 30, 10), 10, 0, Room(40, 64 << 10), 8),  # on an older GPU
        ((784, 30, 10), 10, 2, Room(2, 227 << 10), 2),  # with Adam, on a smaller one
        ((784, 30, 10), 10, 0, Room(132, 0), None),  # no cooperative launch
        ((64, 32, 10), 10, 0, Room(132, 227 << 10), 1),
        ((7, 128, 3), 32, 2, Room(132, 227 << 10), 1),
        ((2, 3, 1), 1, 0, Room(132, 227 << 10), 1),
        (
            (784, 128, 10),
            128,
            0,
            Room(132, 227 << 10),
            None,
        ),  # more work than eight processors can do quickly
        ((784, 1024, 1024, 10), 128, 0, Room(132, 227 << 10), None),
        ((784, 30, 10), 1024, 0, Room(132, 227 << 10), None),
    ],
)
def test_the_number_of_blocks(
    sizes: tuple[int, ...], m: int, states: int, room: Any, blocks: int | None
) -> None:
    assert Shape(sizes, m, states).blocks(room) == blocks
