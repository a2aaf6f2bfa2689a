"""A fixture for the tests of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

import emulated
import pytest

from benchmarks.contestants import gpu_floor
from benchmarks.probes import launches
from gpunn.backends.cuda.backend import Cuda


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    """Make the contestants use an emulated GPU."""
    if not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    be = Cuda(emulated.EmulatedDevice())
    monkeypatch.setattr("gpunn.backends.choose", lambda *_: be)
    for place in ("gpu_floor", "ours"):
        monkeypatch.setattr(f"benchmarks.contestants.{place}.explain_cuda", str)
    monkeypatch.setattr(gpu_floor, "LARGE", 64)
    monkeypatch.setattr(gpu_floor, "COPIED", 1 << 16)
    monkeypatch.setattr(launches, "KERNELS", 4)
    yield be
    be.device.check()  # type: ignore[attr-defined]
