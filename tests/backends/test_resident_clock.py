"""The clock chooses among shapes of the resident kernel, and its trials change nothing of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from resident_cases import SIGMOIDS, Case, count_launches, shape_as, theta_after

import gpunn
from gpunn.backends.cuda import resident
from gpunn.backends.cuda.shapes import Shape, Task
from gpunn.functions.calls import Calls

pytestmark = pytest.mark.parametrize("on", ["emulated"], indirect=True)  # whose clock is the test's
HOW = {
    "plain": {},
    "scheduled, with states": {"optimizer": gpunn.Adam(0.05), "schedule": "cosine"},
    "pixels, with weights": {"pixels": True, "sample_weight": np.arange(43) % 3},
    "distorted": {"augmentation": gpunn.Augmentation((4, 5), shift=1.0)},
}


def offer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer one block and a cluster for every pass."""
    found: list[Callable[..., Sequence[Shape]]] = []
    for blocks in (1, 4):
        shape_as(monkeypatch, blocks=blocks, first_in_registers=False)
        found.append(resident.best_shapes)

    def both(task: Task, *room: int) -> list[Shape]:
        return [shape for choose in found for shape in choose(task, *room)]

    monkeypatch.setattr(resident, "best_shapes", both)


@pytest.mark.parametrize("how", HOW)
def test_trials_change_nothing(how: str, on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def last(task: str, ways: Mapping[str, Callable[[], Calls]]) -> str:
        tried.extend([task, *ways])
        trials = [bind() for bind in ways.values()]
        for call in 3 * [call for calls in trials for call in calls]:
            call()
        be.device.check()
        return list(ways)[-1]

    case = Case(SIGMOIDS, "quadratic", n_in=20, how=HOW[how])
    be = on("device")
    offer(monkeypatch)
    monkeypatch.setattr(be.device, "fastest", last)
    launches = count_launches(be, monkeypatch)
    theta, _ = theta_after(case)
    kind = "uint8" if "pixels" in HOW[how] else "float64"
    by = "Adam" if "optimizer" in HOW[how] else "0 states"
    assert tried == [
        f"network 20-6-4, sigmoid, sigmoid, quadratic, {by}, 8 examples of {kind}, float64",
        "1 block",
        "4 blocks in a cluster, sharing out examples",
    ]
    assert launches == [1, 4, 4]
    on("cpu")
    np.testing.assert_allclose(theta, theta_after(case)[0], rtol=1e-9, atol=1e-12)


def test_one_shape_needs_no_trial(on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on("device").device, "fastest", lambda *_: pytest.fail("the clock was asked"))
    theta_after(Case(SIGMOIDS, "quadratic"))
