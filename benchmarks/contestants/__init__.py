"""Who takes part, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.contestants.base import Contestant, Skipped
from benchmarks.contestants.floor import Floor
from benchmarks.contestants.gpu_floor import GpuFloor
from benchmarks.contestants.ours import Gpunn, Loop
from benchmarks.contestants.pytorch import PyTorch, Skorch
from benchmarks.contestants.scikit_learn import ScikitLearn
from benchmarks.contestants.with_jax import Jax
from benchmarks.contestants.with_thinc import Thinc
from benchmarks.nets import DEEP, Net, Problem

__all__ = [
    "ACCURACY",
    "CONTESTANTS",
    "FLOOR",
    "GPU_FLOOR",
    "LOOP",
    "OURS",
    "SWEEP",
    "Contestant",
    "Skipped",
    "floor_of",
    "taking_part",
]

FLOOR, GPU_FLOOR, OURS, LOOP = "GEMM floor", "CUDA floor", "gpunn CPU", "textbook loop"

CONTESTANTS: dict[str, Callable[[Problem], Contestant]] = {
    FLOOR: Floor,
    OURS: Gpunn,
    "JAX": Jax,
    "PyTorch": PyTorch,
    "torch.compile": partial(PyTorch, compiled=True),
    "skorch": Skorch,
    "thinc": Thinc,
    "scikit-learn": ScikitLearn,
    LOOP: Loop,
}
# on a GPU each has three precisions, which are compared among themselves: (gpunn's, JAX's, PyTorch's)
PRECISIONS = {
    "": ("float32", "highest", "highest"),
    " tf32": ("tf32", "tensorfloat32", "high"),
    " bf16": ("bf16", "bfloat16", "bfloat16"),
}
for suffix, (gpunns, jaxs, pytorchs) in PRECISIONS.items():
    CONTESTANTS |= {
        GPU_FLOOR + suffix: partial(GpuFloor, precision=gpunns),
        "gpunn CUDA" + suffix: partial(Gpunn, device="cuda", precision=gpunns),
        "JAX CUDA" + suffix: partial(Jax, device="cuda", precision=jaxs),
        "PyTorch CUDA" + suffix: partial(PyTorch, device="cuda", precision=pytorchs),
        "torch.compile CUDA" + suffix: partial(PyTorch, device="cuda", precision=pytorchs, compiled=True),
    }
SWEEP = [FLOOR, OURS, "gpunn CUDA", "JAX", "JAX CUDA", "PyTorch", "PyTorch CUDA"]
ACCURACY = [OURS, "gpunn CUDA", "PyTorch", "PyTorch CUDA"]


def precision_of(name: str) -> str:
    """Of a GPU's contestant, as it ends its name."""
    return next((suffix for suffix in PRECISIONS if suffix and name.endswith(suffix)), "")


def floor_of(name: str) -> str:
    """The floor that a contestant stands on: on a GPU, that of its precision."""
    return GPU_FLOOR + precision_of(name) if "CUDA" in name else FLOOR


def taking_part(names: Sequence[str], net: Net) -> list[str]:
    """Those that have something to show on that network; tensor cores, and they alone, on the large one."""
    precisions = (" tf32", " bf16") if net.sizes == DEEP.sizes else ("",)
    return [name for name in names if "CUDA" not in name or precision_of(name) in precisions]
