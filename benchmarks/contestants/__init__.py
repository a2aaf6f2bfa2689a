"""All contestants, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.contestants import many
from benchmarks.contestants.base import Contestant, Skipped
from benchmarks.contestants.floor import Floor
from benchmarks.contestants.gpu_floor import GpuFloor
from benchmarks.contestants.ours import Gpunn, TextbookLoop
from benchmarks.contestants.pytorch import PyTorch, Skorch
from benchmarks.contestants.scikit_learn import ScikitLearn
from benchmarks.contestants.with_jax import Jax
from benchmarks.contestants.with_thinc import Thinc
from benchmarks.nets import Net, Problem

__all__ = [
    "ACCURACY",
    "AT_ONCE",
    "CONTESTANTS",
    "FLOOR",
    "GPU_FLOOR",
    "LOOP",
    "MANY",
    "MANY_ON_CUDA",
    "ONE_BY_ONE",
    "OURS",
    "OURS_ON_CUDA",
    "SWEEP",
    "Contestant",
    "Skipped",
    "floor_of",
    "on_cuda",
    "participants",
]

FLOOR, GPU_FLOOR, LOOP = "GEMM floor", "CUDA floor", "textbook loop"
OURS, OURS_ON_CUDA = "gpunn CPU", "gpunn CUDA"

CONTESTANTS: dict[str, Callable[[Problem], Contestant]] = {
    FLOOR: Floor,
    OURS: Gpunn,
    "JAX": Jax,
    "PyTorch": PyTorch,
    "torch.compile": partial(PyTorch, compiled=True),
    "skorch": Skorch,
    "thinc": Thinc,
    "scikit-learn": ScikitLearn,
    LOOP: TextbookLoop,
}
ON_CUDA: dict[str, Callable[..., Contestant]] = {
    GPU_FLOOR: GpuFloor,
    OURS_ON_CUDA: partial(Gpunn, device="cuda"),
    "JAX CUDA": partial(Jax, device="cuda"),
    "PyTorch CUDA": partial(PyTorch, device="cuda"),
    "torch.compile CUDA": partial(PyTorch, device="cuda", compiled=True),
}
PRECISIONS = ("float32", "tf32", "bf16")  # contestants are compared within a precision


def on_cuda(name: str, precision: str) -> str:
    """Return the contestant's name in a precision, which is appended unless it is float32."""
    return name if precision == "float32" else f"{name} {precision}"


CONTESTANTS |= {
    on_cuda(name, precision): partial(make, precision=precision)
    for precision in PRECISIONS
    for name, make in ON_CUDA.items()
}
ONE_BY_ONE, AT_ONCE = "gpunn, one by one", "gpunn.sweep"
MANY: dict[str, Callable[[Problem], Contestant]] = {
    AT_ONCE: many.Sweep,
    ONE_BY_ONE: many.OneByOne,
    "JAX vmap": many.JaxVmap,
    "PyTorch vmap": many.TorchVmap,
    "joblib, scikit-learn": many.JoblibScikitLearn,
}
MANY_ON_CUDA: dict[str, Callable[[Problem], Contestant]] = {
    "gpunn.sweep CUDA": many.SweepOnCuda,
    "JAX vmap CUDA": partial(many.JaxVmap, device="cuda"),
    "PyTorch vmap CUDA": partial(many.TorchVmap, device="cuda"),
}
SWEEP = [FLOOR, OURS, "gpunn CUDA", "JAX", "JAX CUDA", "PyTorch", "PyTorch CUDA"]
ACCURACY = [OURS, OURS_ON_CUDA, "JAX", "JAX CUDA", "PyTorch", "PyTorch CUDA"]


def precision_of(name: str) -> str:
    """Return the precision of a contestant on a GPU."""
    last = name.rpartition(" ")[2]
    return last if last in PRECISIONS else "float32"


def floor_of(name: str) -> str:
    """Return the floor to compare a contestant with; on a GPU, the floor of its precision."""
    return on_cuda(GPU_FLOOR, precision_of(name)) if "CUDA" in name else FLOOR


def participants(names: Sequence[str], net: Net) -> list[str]:
    """Return the contestants that can train a network: on a GPU, those of its precision."""
    return [name for name in names if "CUDA" not in name or precision_of(name) == net.precision]
