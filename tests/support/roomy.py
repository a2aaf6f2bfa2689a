"""An emulated device with room for small networks, which trains several of them in lockstep."""

from __future__ import annotations

from typing import Any

import emulated
import numpy as np
import pytest
from emulated import EmulatedDevice

from gpunn import backends
from gpunn.backends.cuda import shape_choice
from gpunn.backends.cuda.backend import Cuda


def roomy_device(monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    """Let all networks be trained on such a device, whatever device is asked for."""
    if not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    device = EmulatedDevice(shared_bytes=200 << 10)
    made: dict[str, Cuda] = {}

    def choose(name: str, dtype: Any, *_: Any) -> Cuda:
        kind = np.dtype(dtype).name
        return made.setdefault(kind, Cuda(device, kind))

    monkeypatch.setattr(shape_choice, "THREADS", (64,))
    shape_choice.best_shapes.cache_clear()
    monkeypatch.setattr(backends, "choose", choose)
    return device
