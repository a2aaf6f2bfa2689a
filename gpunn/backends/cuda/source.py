"""The source of the CUDA kernels: kernels.cu and persistent.cu, and what they are compiled with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import BF16
from gpunn.core.backend import RULES, BackendError
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost

KERNELS, PERSISTENT = (
    Path(__file__).with_name(f"{name}.cu").read_text(encoding="utf-8") for name in ("kernels", "persistent")
)
ROWS, LANES = 8, 32  # of kernels.cu


def preamble(dtype: np.dtype[Any], operand: np.dtype[Any] | None = None) -> str:
    """The scalar type T of kernels.cu, its limits, and Operand, if that is another."""
    name, suffix, limits = (
        ("double", "", np.finfo(dtype)) if dtype == np.float64 else ("float", "f", np.finfo(dtype))
    )
    types = f"typedef {name} T;\n" + ("#define Operand Bf16\n" if operand == BF16 else "")
    return f"{types}#define TINY {limits.tiny}{suffix}\n#define EPSNEG {limits.epsneg}{suffix}\n"


def layer_source(dtype: np.dtype[Any]) -> str:
    """How a layer's a and z lie in memory, for kernels.cu."""
    return "#define A Bf16\n" if dtype == BF16 else ""


def activation_source(f: Activation) -> str:
    """The C spelling of an activation, for kernels.cu."""
    if f.cuda is None:
        raise BackendError(f"the activation '{f.name}' has no CUDA spelling: give Activation its `cuda` pair")
    return f"#define F(z) ({f.cuda[0]})\n#define F_PRIME(a, z) ({f.cuda[1]})\n"


def cost_source(cost: Cost, f: Activation) -> str:
    """The C spelling of a cost after an activation, for kernels.cu; softmax's derivative is not in it."""
    if cost.cuda is None:
        raise BackendError(f"the cost '{cost.name}' has no CUDA spelling: give Cost its `cuda` pair")
    loss = cost.cuda_of_z if cost.reads_z(f.name) else cost.cuda[0]
    before = "#define F_PRIME(a, z) T(1)\n" if f.name == "softmax" else activation_source(f)
    paired = cost.pairs_with == f.name
    error = "a - y" if paired else f"({cost.cuda[1]}) * (F_PRIME(a, z))"
    return f"{before}#define LOSS(a, y, z) ({loss})\n#define OUTPUT_ERROR(a, y, z) ({error})\n"


def persistent_source(hidden: Sequence[Activation], cost: Cost, output: Activation, tile: int) -> str:
    """The C spelling of a whole network, for persistent.cu; hidden: f[1]…f[L−1]."""
    spelled = [f.cuda for f in hidden if f.cuda]
    rules = ", ".join(name.upper() for name in RULES)
    return (
        cost_source(cost, output)
        + f"#define TILE {tile}\nenum {{ {rules} }};\n"
        + _by_layer("activation", "int l, T z", [f for f, _ in spelled])
        + _by_layer("derivative", "int l, T a, T z", [prime for _, prime in spelled])
    )


def _by_layer(name: str, parameters: str, expressions: Sequence[str]) -> str:
    """A function of the layer, whose expressions may all be the same."""
    if len(set(expressions)) <= 1:
        expressions = expressions[:1] or ["T(0)"]
    cases = "".join(f"    if (l == {l}) return {x};\n" for l, x in enumerate(expressions[:-1], 1))
    unused = "".join(f" (void){parameter.split()[-1]};" for parameter in parameters.split(","))
    head = f"static __device__ T {name}({parameters}) {{\n   {unused}\n"
    return f"{head}{cases}    return {expressions[-1]};\n}}\n"
