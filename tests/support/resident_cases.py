"""Networks that the resident kernel trains, in a shape that a test chooses, beside the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backends.cuda import resident, shape_choice
from gpunn.backends.cuda.shapes import Shape, Task

SHARED, CLUSTER = 200 << 10, 4
SIGMOIDS = [gpunn.Dense(6), gpunn.Dense(4)]


@dataclass
class Case:
    """A network and how it is trained."""

    layers: list[gpunn.Dense]
    cost: str | None = None
    n_in: int = 19
    m: int = 43
    batch_size: int = 8
    how: dict[str, Any] | None = None


def shape_as(monkeypatch: pytest.MonkeyPatch, **wanted: Any) -> None:
    """Let the kernel have 64 threads, and the first shape that has these attributes, or else any."""

    def chosen(task: Task, shared_bytes: int, each: int, cluster: int, grid: int) -> list[Shape]:
        able = list(shape_choice.shapes(task, shared_bytes, cluster, grid))
        fitting = [s for s in able if all(getattr(s, name) == value for name, value in wanted.items())]
        return [*fitting, *able][:1]

    monkeypatch.setattr(shape_choice, "THREADS", (64,))
    monkeypatch.setattr(shape_choice, "GRIDS", (2, 3, 4))
    monkeypatch.setattr(resident, "best_shapes", chosen)


def count_launches(be: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that collects the number of blocks of each bound launch of the resident kernel."""
    launch, found = be.device.launch, []

    def counted(kernel: Any, blocks: int, *rest: Any) -> Any:
        if kernel.name == "train":
            found.append(blocks)
        return launch(kernel, blocks, *rest)

    monkeypatch.setattr(be.device, "launch", counted)
    return found


def theta_after(case: Case, dtype: str = "float64", epochs: int = 2) -> tuple[np.ndarray, gpunn.History]:
    net = gpunn.Network(case.n_in, case.layers, case.cost, 0, dtype)
    rng, n_out = np.random.default_rng(1), net.sizes[-1]
    X, y = rng.standard_normal((case.n_in, case.m)), rng.integers(0, max(2, n_out), case.m)
    how = {"optimizer": gpunn.SGD(0.5), **(case.how or {})}
    if how.pop("pixels", False):
        X = rng.integers(0, 256, X.shape).astype(np.uint8)
    if how.pop("targets", False):
        y = rng.standard_normal((n_out, case.m))
    history = net.fit(X, y, epochs=epochs, batch_size=case.batch_size, **how)
    return net.theta.copy(), history


def check(case: Case, on: Callable[..., Any]) -> None:
    """Check that the device trains as the CPU does."""
    on("device")
    theta, history = theta_after(case)
    on("cpu")
    expected, as_expected = theta_after(case)
    np.testing.assert_allclose(theta, expected, rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(history, as_expected, strict=True):
        assert (mine.loss, mine.accuracy) == (pytest.approx(theirs.loss, rel=1e-10), theirs.accuracy)
