"""Backends, which compute the equations, and the choice between them.

`choose` is the door; `host` and `cuda` each lower the equations of `gpunn.core` in their own way.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gpunn.backends.host.backend import Host
from gpunn.core.backend import Backend, BackendError

__all__ = ["Backend", "BackendError", "Host", "choose", "count_cuda", "cuda_devices", "explain_cuda"]

CUDA_PRECISIONS = ("tf32", "bf16")


def choose(
    device: str, dtype: np.dtype[Any] | str, precision: str | None = None, threads: int | None = None
) -> Backend:
    """Return the backend for the device auto, cpu, cuda or cuda:N.

    Args:
        device: its name.
        dtype: the network's.
        precision: the dtype itself, or on CUDA "tf32" or "bf16" for a float32 network.
        threads: the number of threads on the CPU; None to choose it by trials.

    Raises:
        ValueError: the device or the precision is unknown.
        BackendError: the device or the precision is not available; the message says why.
    """
    named = re.fullmatch(r"(auto|cpu|cuda)(?::(\d+))?", device)
    if not named or (named[2] and named[1] != "cuda"):
        raise ValueError(f"unknown device '{device}': choose from auto, cpu, cuda, cuda:N")
    own = np.dtype(dtype).name
    precision = precision or own
    if precision != own and not (precision in CUDA_PRECISIONS and own == "float32"):
        raise ValueError(
            f"unknown precision '{precision}' for a {own} network: choose from {own}, tf32, bf16"
        )
    reason = ""
    if named[1] != "cpu":
        index = int(named[2] or 0)
        reason = explain_cuda(index)
        if not reason:
            from gpunn.backends.cuda import cupy_device

            return cupy_device.backend(index, precision)
        if named[1] == "cuda":
            raise BackendError(f"no CUDA device: {reason}")
    if precision in CUDA_PRECISIONS:
        raise BackendError(f"precision {precision} needs a CUDA device")
    return Host(own, reason.partition(": pip install")[0], threads)  # the advice is for `gpunn info`


def explain_cuda(index: int = 0) -> str:
    """Say why that CUDA device cannot be used, in one line; empty if it works."""
    from gpunn.backends.cuda import diagnosis

    return diagnosis.explain(index)


def count_cuda() -> int:
    """Count the CUDA devices, whether they work or not."""
    from gpunn.backends.cuda import diagnosis

    return diagnosis.count()


def cuda_devices() -> list[str]:
    """List the CUDA devices that work, by name."""
    from gpunn.backends.cuda import diagnosis

    return diagnosis.devices()
