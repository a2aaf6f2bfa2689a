"""How good gpunn is to be on a GPU, and whether it is: against its peers and the floor, of the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.contestants import on_cuda
from benchmarks.nets import BROAD, DEEP, MIDDLE, SMALL


@dataclass(frozen=True)
class Bar:
    """At least so many times as fast as JAX's compiled scan, and as PyTorch, the better of eager and compiled
    with CUDA graphs; and at most so many times what the floor takes."""

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


def judged(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of every network that has a bar: gpunn's ratios to the others, the bar, and whether it clears it.

    What was not measured is None, and clears nothing.
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
    """gpunn's speed by JAX's and by PyTorch's, round by round, and its time by the floor's."""
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
    """The median over the rounds, where both have run."""
    return None if ours is None or theirs is None else float(np.median(np.divide(ours, theirs)))
