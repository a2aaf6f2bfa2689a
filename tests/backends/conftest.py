"""A fixture for the tests of the backends."""

from __future__ import annotations

from collections.abc import Iterator

import fake_cupy
import pytest
from fake_cupy import Machine

from gpunn.backends.cuda import cupy_device, diagnosis


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine of stand-ins for CuPy and nvmath, which `backends.choose` finds."""
    machine = Machine()
    fake_cupy.install(monkeypatch, machine)
    monkeypatch.setattr(diagnosis, "find_spec", lambda name: object())
    cached = diagnosis.explain, cupy_device._backend, cupy_device._device
    for function in cached:
        function.cache_clear()
    yield machine
    for function in cached:
        function.cache_clear()
