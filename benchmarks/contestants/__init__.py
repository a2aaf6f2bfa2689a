"""Who takes part, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.contestants.base import Contestant, Skipped
from benchmarks.contestants.floor import Floor
from benchmarks.contestants.ours import Gpunn, Loop
from benchmarks.contestants.pytorch import PyTorch, Skorch
from benchmarks.contestants.scikit_learn import ScikitLearn
from benchmarks.contestants.with_jax import Jax
from benchmarks.contestants.with_thinc import Thinc
from benchmarks.nets import Problem

__all__ = ["ACCURACY", "CONTESTANTS", "FLOOR", "OURS", "SWEEP", "Contestant", "Skipped"]

FLOOR, OURS = "GEMM floor", "gpunn CPU"

CONTESTANTS: dict[str, Callable[[Problem], Contestant]] = {
    FLOOR: Floor,
    OURS: Gpunn,
    "gpunn CUDA": partial(Gpunn, device="cuda"),
    "gpunn CUDA tf32": partial(Gpunn, device="cuda", precision="tf32"),
    "JAX": Jax,
    "JAX CUDA": partial(Jax, device="cuda"),
    "JAX CUDA tf32": partial(Jax, device="cuda", precision="tensorfloat32"),
    "PyTorch": PyTorch,
    "PyTorch CUDA": partial(PyTorch, device="cuda"),
    "PyTorch CUDA tf32": partial(PyTorch, device="cuda", precision="high"),
    "torch.compile": partial(PyTorch, compiled=True),
    "torch.compile CUDA": partial(PyTorch, device="cuda", compiled=True),
    "skorch": Skorch,
    "thinc": Thinc,
    "scikit-learn": ScikitLearn,
    "textbook loop": Loop,
}
SWEEP = [FLOOR, OURS, "gpunn CUDA", "JAX", "JAX CUDA", "PyTorch", "PyTorch CUDA"]
ACCURACY = [OURS, "gpunn CUDA", "PyTorch", "PyTorch CUDA"]
