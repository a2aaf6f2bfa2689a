"""The head's kernel gives the same θ as separate steps, in whatever way it is shared out among blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice
from heads import SHARED, only
from helpers import need_cuda
from hypothesis import given, settings
from hypothesis import strategies as st

import gpunn
from gpunn import backends
from gpunn.backends import Host
from gpunn.backends.cuda import backend, head_ways, resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.backend import Backend
from gpunn.functions.calls import Calls

N_IN = 7
MakeDevice = Callable[..., Cuda]


@dataclass
class Case:
    """A network and how it is trained, in a way (blocks, cluster)."""

    layers: list[gpunn.Dense]
    cost: str | None = None
    way: tuple[int, int] = (4, 4)
    m: int = 43
    batch_size: int = 20
    shared_bytes: int = SHARED
    how: dict[str, Any] = field(default_factory=dict)


DIGITS = [gpunn.Dense(37, "relu"), gpunn.Dense(10, "softmax")]
WAYS = {"one block": (1, 1), "cluster": (4, 4), "grid": (3, 0)}
CASES = {
    **{f"softmax, {name}": Case(DIGITS, way=way) for name, way in WAYS.items()},
    "softmax after no hidden layer": Case([gpunn.Dense(3, "softmax")], way=(1, 1)),
    "softmax, quadratic": Case([gpunn.Dense(9, "tanh"), gpunn.Dense(5, "softmax")], "quadratic", way=(2, 2)),
    "one output": Case([gpunn.Dense(29, "gelu"), gpunn.Dense(1, "sigmoid")], "binary-cross-entropy"),
    "32 outputs": Case([gpunn.Dense(40, "silu"), gpunn.Dense(32, "sigmoid")], "quadratic", way=(2, 0)),
    "poisson": Case([gpunn.Dense(16, "sigmoid"), gpunn.Dense(4, "exp", "xavier")], "poisson", way=(2, 2)),
    "l2": Case(DIGITS, how={"optimizer": gpunn.SGD(0.3, l2=0.1, l1=0.01)}),
    "nesterov": Case(DIGITS, how={"optimizer": gpunn.Nesterov(0.1, l2=0.1)}),
    "adam": Case(DIGITS, how={"optimizer": gpunn.Adam(0.02, l2=0.1), "schedule": "cosine"}),
    "clipped": Case(DIGITS, how={"optimizer": gpunn.Momentum(0.1, clip_norm=0.01)}),
    "dropout": Case([gpunn.Dense(37, "relu", dropout=0.4), gpunn.Dense(10, "softmax")]),
    "input dropout": Case([gpunn.Dense(3, "softmax")], way=(1, 1), how={"input_dropout": 0.3}),
    "normalised before": Case([gpunn.Dense(37, "tanh", batch_norm=True), gpunn.Dense(10, "softmax")]),
    "weights": Case(DIGITS, how={"sample_weight": np.arange(43) % 3, "label_smoothing": 0.1}),
    "many examples": Case(DIGITS, m=300, batch_size=150),
    "in tiles": Case(DIGITS, way=(3, 0), m=300, batch_size=150, shared_bytes=30_000),
    "one example": Case(DIGITS, m=5, batch_size=1),
}


@pytest.fixture(params=["emulated", "cuda"])
def on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDevice]:
    """Return a function that makes a device the backend; a GPU is what it is."""
    kind, devices, choose = request.param, [], backends.choose
    if kind == "cuda":
        need_cuda()
    if kind == "emulated" and not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    monkeypatch.setattr(resident, "best_shapes", lambda *_: ())
    monkeypatch.setattr(backend, "faster_by_the_clock", lambda *_: True)
    if kind == "emulated":
        monkeypatch.setattr(head_ways, "THREADS", 64)

    def use(dtype: str = "float64", precision: str | None = None, **device: Any) -> Cuda:
        if kind == "cuda":
            be: Any = choose("cuda", dtype, precision)
        else:
            devices.append(EmulatedDevice(**{"shared_bytes": SHARED, "cluster": 8, **device}))
            be = Cuda(devices[-1], precision or dtype)
        if head_ways.WAYS[0][1] > be.device.cluster:
            pytest.skip("no clusters on this GPU")
        make_default(be, monkeypatch)
        return be

    yield use
    for device in devices:
        device.check()


def make_default(be: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "choose", lambda *_: be)


def count_heads(be: Cuda, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that collects the number of blocks of each head that is bound."""
    launch, found = be.device.launch, []

    def counted(kernel: Any, blocks: int, threads: int, arguments: Any, shared: int = 0, *rest: Any) -> Any:
        if shared:  # no other kernel takes dynamic shared memory
            found.append(blocks)
        return launch(kernel, blocks, threads, arguments, shared, *rest)

    monkeypatch.setattr(be.device, "launch", counted)
    return found


def theta_after(case: Case, dtype: str = "float64", n_in: int = N_IN) -> np.ndarray:
    network = {k: v for k, v in case.how.items() if k == "input_dropout"}
    net = gpunn.Network(n_in, case.layers, case.cost, 0, dtype, **network)
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((n_in, case.m)), rng.integers(0, max(2, net.sizes[-1]), case.m)
    how = {"optimizer": gpunn.SGD(0.5), **{k: v for k, v in case.how.items() if k != "input_dropout"}}
    net.fit(X, y, epochs=2, batch_size=case.batch_size, **how)
    return net.theta.copy()


@pytest.mark.parametrize("name", CASES)
def test_it_equals_separate_steps(name: str, on: MakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    only(*case.way, monkeypatch)
    launches = count_heads(on(shared_bytes=case.shared_bytes), monkeypatch)
    theta = theta_after(case)
    assert set(launches) == {case.way[0]}
    make_default(Host("float64"), monkeypatch)
    np.testing.assert_allclose(theta, theta_after(case), rtol=1e-9, atol=1e-12)


@given(
    st.sampled_from(list(WAYS.values())),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 60),
    st.data(),
)
@settings(max_examples=15)
def test_all_shapes(
    on: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
    way: tuple[int, int],
    hidden: int,
    m: int,
    batch_size: int,
    data: st.DataObject,
) -> None:
    """Any number of inputs and examples, held in shared memory or gone through in tiles."""
    hidden = min(hidden, 64 * way[0])  # a block has at most as many as it has threads
    shared = data.draw(st.sampled_from([SHARED, 60_000]))
    how = {"optimizer": gpunn.SGD(0.05)}  # large steps would multiply the rounding
    case = Case([gpunn.Dense(hidden, "relu"), DIGITS[1]], m=m, batch_size=batch_size, how=how)
    only(*way, monkeypatch)
    launches = count_heads(on(shared_bytes=shared), monkeypatch)
    theta = theta_after(case)
    assert launches
    make_default(Host("float64"), monkeypatch)
    np.testing.assert_allclose(theta, theta_after(case), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_low_precision(precision: str, on: MakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head computes in float32, from operands in low precision."""
    case = Case([gpunn.Dense(37, "relu"), gpunn.Dense(10, "softmax")], how={"optimizer": gpunn.SGD(0.1)})
    only(4, 4, monkeypatch)
    launches = count_heads(on("float32", precision), monkeypatch)
    theta = theta_after(case, "float32")
    assert launches
    make_default(Host("float32"), monkeypatch)
    expected = theta_after(case, "float32")
    assert 0 < np.abs(theta - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")
@pytest.mark.parametrize("wanted", ["apart", "4 blocks, 4 in a cluster"])
def test_trials_move_nothing(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock decides between one launch and several, on copies of the parameters."""
    monkeypatch.setattr(resident, "best_shapes", lambda *_: ())
    monkeypatch.setattr(head_ways, "THREADS", 64)
    only(4, 4, monkeypatch)
    device, tasks = EmulatedDevice(shared_bytes=SHARED, cluster=8), []

    def fastest(task: str, ways: Mapping[str, Callable[[], Calls]]) -> str:
        for bind in ways.values():
            for call in bind():
                call()
        tasks.append(task)
        return wanted if wanted in ways else next(iter(ways))

    monkeypatch.setattr(device, "fastest", fastest)
    make_default(Cuda(device, "float64"), monkeypatch)
    theta = theta_after(CASES["nesterov"])
    assert "a last layer (10, 37), relu and softmax, cross-entropy, float64, 20 examples" in tasks
    make_default(Host("float64"), monkeypatch)
    np.testing.assert_allclose(theta, theta_after(CASES["nesterov"]), rtol=1e-9, atol=1e-12)


def test_two_runs_are_bitwise_identical(on: MakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    on("float32")
    first, second = (theta_after(CASES["softmax, cluster"], "float32") for _ in range(2))
    np.testing.assert_array_equal(first, second)
