"""The resident kernel follows the same trajectory as separate steps, for all networks it is chosen for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import by_the_book
import numpy as np
import pytest
from emulated import EmulatedDevice
from hypothesis import given, settings
from hypothesis import strategies as st
from resident_cases import SIGMOIDS, Case, check, count_launches, shape_as, theta_after

import gpunn
from gpunn.backends.cuda import backend as cuda
from gpunn.backends.cuda import resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.shape_choice import best_shapes
from gpunn.backends.cuda.shapes import PLACES
from gpunn.backends.host import backend as host
from gpunn.core.equations import Equation
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.core.update import ByRule
from gpunn.core.vector_equations import Step
from gpunn.training import schedules

ELEMENTWISE = [f for f in gpunn.ACTIVATIONS.values() if f.cuda]
CHAIN = [gpunn.Dense(5 + k, f.name, "glorot") for k, f in enumerate(ELEMENTWISE)]
LINEAR = gpunn.Dense(3, "identity")

CASES = {
    "the book's": Case(SIGMOIDS, "quadratic"),
    "softmax": Case([gpunn.Dense(6), gpunn.Dense(4, "softmax")], "cross-entropy"),
    "every activation": Case([*CHAIN, gpunn.Dense(4, "softmax")], "cross-entropy"),
    "no hidden layer": Case([gpunn.Dense(4)], "quadratic"),
    "no hidden layer, softmax": Case([gpunn.Dense(4, "softmax")], "cross-entropy"),
    "z is read": Case([gpunn.Dense(6), gpunn.Dense(1, "sigmoid")], "binary-cross-entropy"),
    "two hidden layers": Case([gpunn.Dense(30, "relu"), gpunn.Dense(17), gpunn.Dense(5)], "quadratic"),
    "many outputs": Case([gpunn.Dense(6), gpunn.Dense(45, "softmax")], "cross-entropy"),
    "many examples a step": Case(SIGMOIDS, "quadratic", m=150, batch_size=70),
    "one example a step": Case(SIGMOIDS, "quadratic", m=9, batch_size=1),
    "one short step": Case(SIGMOIDS, "quadratic", m=3, batch_size=8),
    "pixels": Case(SIGMOIDS, "quadratic", n_in=20, how={"pixels": True}),
    "pixels, an odd number": Case(SIGMOIDS, "quadratic", how={"pixels": True}),
    "targets": Case([gpunn.Dense(6), gpunn.Dense(4, "identity")], "quadratic", how={"targets": True}),
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


@pytest.mark.parametrize("name", CASES)
def test_it_equals_separate_steps(name: str, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    launches = count_launches(on("device"), monkeypatch)
    theta_after(CASES[name])
    assert launches == [1]
    check(CASES[name], on)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize("first", [True, False], ids=["first in registers", "first in shared memory"])
def test_every_shape(
    first: bool, buffers: int, place: str, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mini-batches of two tiles, the last of one."""
    if isinstance(on("device"), Cuda) and not isinstance(on("device").device, EmulatedDevice):
        pytest.skip("a GPU chooses the shape")
    shape_as(monkeypatch, first_in_registers=first, buffers=buffers, states_in=place, columns=8)
    check(Case(SIGMOIDS, "quadratic", m=28, batch_size=16, how={"optimizer": gpunn.Adam(0.05)}), on)


CHOSEN = {
    "scikit-learn's default": Case(
        [gpunn.Dense(100, "relu"), gpunn.Dense(10, "softmax")],
        "cross-entropy",
        n_in=64,
        m=500,
        batch_size=200,
        how={"optimizer": gpunn.Adam(0.001)},
    ),
    "the book's": Case([gpunn.Dense(30), gpunn.Dense(10)], "quadratic", 784, 95, 10, {"pixels": True}),
    "too wide for one block": Case([gpunn.Dense(100), gpunn.Dense(10)], "quadratic", 784, 95, 10),
}


@pytest.mark.parametrize("on", ["cuda"], indirect=True)
@pytest.mark.parametrize("name", CHOSEN)
def test_the_shapes_that_a_gpu_chooses(
    name: str, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "best_shapes", best_shapes)
    launches = count_launches(on("device", "float32"), monkeypatch)
    theta, _ = theta_after(CHOSEN[name], "float32")
    assert launches
    on("cpu", "float32")
    np.testing.assert_allclose(theta, theta_after(CHOSEN[name], "float32")[0], rtol=0, atol=1e-4)


def test_several_launches(on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "launch_steps", 3)
    launches = count_launches(on("device"), monkeypatch)
    check(Case(SIGMOIDS, "quadratic", m=43, batch_size=5, how={"schedule": "cosine"}), on)
    assert not launches
    launches = count_launches(on("device"), monkeypatch)
    theta_after(Case(SIGMOIDS, "quadratic", m=43, batch_size=5))
    assert launches == [1, 1]


def test_distorted_and_streamed_examples(on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel then takes each chunk as other kernels or the host have left it."""
    be = on("device")
    launches = count_launches(be, monkeypatch)
    images = {"augmentation": gpunn.Augmentation((4, 5), shift=1.0)}
    distorted = Case(SIGMOIDS, "quadratic", n_in=20, m=700, batch_size=5, how=images)
    theta, _ = theta_after(distorted)
    assert len(launches) == 2
    on("cpu")
    np.testing.assert_allclose(theta, theta_after(distorted)[0], rtol=1e-9, atol=1e-12)
    be = on("device")
    launches = count_launches(be, monkeypatch)
    monkeypatch.setattr(be.device, "free_bytes", lambda: 4000)
    with pytest.warns(UserWarning, match="stay on the host"):
        theta, _ = theta_after(CASES["the book's"])
    assert launches == [1]
    on("cpu")
    np.testing.assert_allclose(theta, theta_after(CASES["the book's"])[0], rtol=1e-9, atol=1e-12)


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
    """Step: θ moves as the resident kernel cannot know"""


@dataclass(frozen=True)
class OwnRule(gpunn.RMSProp):
    """A rule whose equation has a kernel of its own, but no expression for the resident kernel."""

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


@settings(max_examples=8)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    m=st.integers(1, 60),
    batch_size=st.integers(1, 40),
    first=st.booleans(),
)
def test_any_shape(sizes: list[int], m: int, batch_size: int, first: bool, on: Callable[..., Any]) -> None:
    case = Case([gpunn.Dense(n) for n in sizes[1:]], "quadratic", sizes[0], m, batch_size)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if isinstance(getattr(on("device"), "device", None), EmulatedDevice):
            shape_as(monkeypatch, first_in_registers=first)
        check(case, on)


@pytest.mark.parametrize("optimizer", [gpunn.Nesterov(0.3), gpunn.Adam(0.05)])
def test_float32_is_bitwise_repeatable(optimizer: gpunn.SGD | gpunn.Adam, on: Callable[..., Any]) -> None:
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
