"""Find out where an estimator would be trained."""

from __future__ import annotations

from gpunn import backends


def on_cuda(device: str) -> bool:
    """Whether this name means a CUDA device that works here; `fit` complains of other names."""
    try:
        return backends.choose(device, "float32").name != "cpu"
    except (ValueError, backends.BackendError):
        return False
