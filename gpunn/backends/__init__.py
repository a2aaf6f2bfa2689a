"""Choosing where to compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backends.base import Backend, BackendError
from gpunn.backends.host import Host

__all__ = ["Backend", "BackendError", "Host", "choose"]


def choose(device: str, dtype: np.dtype[Any] | str, precision: str | None = None) -> Backend:
    return Host(str(dtype))
