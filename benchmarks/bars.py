"""The speed that gpunn should reach on a GPU, relative to other libraries and the floor in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.contestants import on_cuda
from benchmarks.nets import BROAD, DEEP, MIDDLE, SMALL


@dataclass(frozen=True)
class Bar:
    """Bounds on gpunn's speed for one network.

    Attributes:
        jax: smallest ratio to the speed of JAX's compiled scan.
        pytorch: smallest ratio to the speed of PyTorch, eager or compiled with CUDA graphs.
        floor: largest ratio to the floor's time.
    """

    jax: float
    pytorch: float
    floor: float


BARS = {
    (SMALL.name, "float32"): Bar(1.5, 5, 2),
    (MIDDLE.name, "float32"): Bar(1.5, 4, 2),
    (BROAD.name, "float32"): Bar(1.1, 1.3, 1.5),
    (DEEP.name, "tf32"): Bar(1, 1, 1.3),
    (DEEP.name, "bf16"): Bar(1, 1, 1.3),
}


def judge(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return gpunn's ratios, the bar and whether it is cleared, for every network that has a bar.

    A ratio that was not measured is None and does not clear its bound.
    """
    rows = []
    for block in blocks:
        if bar := BARS.get((block["net"], block["precision"])):
            found = ratios(block["contestants"], block["precision"])
            jax, pytorch, floor = found.values()
            clears = bool(
                jax and jax >= bar.jax and pytorch and pytorch >= bar.pytorch and floor and floor <= bar.floor
            )
            rows.append(
                {
                    "net": block["net"],
                    "precision": block["precision"],
                    "found": found,
                    "bar": vars(bar),
                    "clears": clears,
                }
            )
    return rows


def ratios(contestants: dict[str, Any], precision: str) -> dict[str, float | None]:
    """Return gpunn's speed relative to JAX and PyTorch, and its time relative to the floor."""
    ours, jax, eager, compiled = (
        contestants.get(on_cuda(name, precision), {})
        for name in ("gpunn CUDA", "JAX CUDA", "PyTorch CUDA", "torch.compile CUDA")
    )
    torchs = [row["rounds"] for row in (eager, compiled) if "rounds" in row]
    return {
        "jax": ratio(ours.get("rounds"), jax.get("rounds")),
        "pytorch": ratio(ours.get("rounds"), np.max(torchs, axis=0) if torchs else None),
        "floor": 1 / ours["of_floor"] if ours.get("of_floor") else None,
    }


def ratio(ours: Any, theirs: Any) -> float | None:
    """Return the median ratio over the rounds, or None if either contestant was skipped."""
    return None if ours is None or theirs is None else float(np.median(np.divide(ours, theirs)))
