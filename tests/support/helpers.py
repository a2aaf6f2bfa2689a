"""Helpers that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpunn import backends
from gpunn.core.backend import Backend

MakeBackend = Callable[[str], Backend]


def need_cuda() -> None:
    """Skip the test where there is no CUDA device; where GPUNN_NEEDS_CUDA says that there is one, fail."""
    if reason := backends.explain_cuda():
        stop = pytest.fail if os.environ.get("GPUNN_NEEDS_CUDA") else pytest.skip
        stop(f"no CUDA device: {reason}")


def one_hot(labels: np.ndarray, n: int) -> Any:
    """Targets (n, m) of labels (m,)."""
    return np.eye(n)[:, labels]


def classes(m: int, k: int = 3, n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Rows of k classes that can be told apart, mostly."""
    rng = np.random.default_rng(m + k)
    y = rng.integers(0, k, m)
    return rng.standard_normal((m, n)) + np.eye(max(n, k))[y, :n], y


def numbers(m: int, n_out: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return rows for regression, with targets (m,) or (m, n_out)."""
    X, y = classes(m)
    targets = np.sin(X[:, : max(2, n_out)]) + y[:, None]
    return X, targets[:, 0] if n_out == 1 else targets[:, :n_out]
