"""Fixtures for the tests of the backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import emulated
import fake_cupy
import pytest
from emulated import EmulatedDevice
from fake_cupy import Machine
from helpers import need_cuda
from resident_cases import CLUSTER, SHARED, shape_as

from gpunn import backends
from gpunn.backends import Host
from gpunn.backends.cuda import resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.shape_choice import best_shapes
from gpunn.backends.host.compiled import compiler


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine of stand-ins for CuPy and nvmath, which `backends.choose` finds."""
    with fake_cupy.installed(monkeypatch) as machine:
        yield machine


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's compiled kernels, also if the environment switches them off."""
    if not emulated.COMPILER:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv(compiler.VARIABLE, "1")


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
    monkeypatch.setattr(resident, "quicker_than_a_graph", lambda shape: True)
    if kind == "emulated":
        shape_as(monkeypatch)
    else:  # one block, without a trial
        monkeypatch.setattr(resident, "best_shapes", lambda *known: best_shapes(*known[:3]))

    def use(name: str, dtype: str = "float64", cluster: int = CLUSTER) -> Any:
        be: Any = Host(dtype)
        if name == "device" and kind == "cuda":
            be = choose("cuda", dtype)
        elif name == "device":
            devices.append(EmulatedDevice(shared_bytes=SHARED, cluster=cluster))
            be = Cuda(devices[-1], dtype)
        monkeypatch.setattr(backends, "choose", lambda *_: be)
        return be

    yield use
    for device in devices:
        device.check()
