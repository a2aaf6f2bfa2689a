"""The source of the CUDA kernels, and the definitions that they are compiled with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import BF16
from gpunn.core.backend import BackendError
from gpunn.core.rules import Rule
from gpunn.functions import augmentation, randoms
from gpunn.functions.activations import Activation
from gpunn.functions.activations.outputs import SOFTMAX
from gpunn.functions.costs import Cost


def read(*names: str) -> str:
    """Read .cu files of this folder, one after the other."""
    return "".join(Path(__file__).with_name(f"{name}.cu").read_text(encoding="utf-8") for name in names)


KERNELS, HEAD = read("kernels"), read("blocks", "head")
RESIDENT = read("blocks", "resident_layout", "resident_examples", "resident_layers", "resident")
LANES = 32  # threads in a warp
THREADS = 256  # in a block, unless the kernel needs another number
ROWS = 8  # of a matrix, for a block: 32 bytes of a column, the least that is read at once
BIAS_PACKS = 4  # of rows that a block of bias_gradient sums
PACK_BYTES = 16  # of operands that a thread of an elementwise kernel reads or writes at once
SMOOTHED = 4  # numbers of a line of noise that a thread smooths together
MOST_STRIPS = 64  # of columns, for which a block of ROWS rows has threads
CONSTANTS = 3  # that a rule may have: n0, n1, n2


def preamble(dtype: np.dtype[Any], operand: np.dtype[Any] | None = None) -> str:
    """The scalar type T, its limits, Operand if it is another type, and what Python and CUDA share."""
    name, suffix = ("double", "") if dtype == np.float64 else ("float", "f")
    limits = np.finfo(dtype)
    types = f"typedef {name} T;\n" + ("#define Operand Bf16\n" if operand == BF16 else "")
    return types + defined(
        TINY=f"{limits.tiny}{suffix}",
        EPSNEG=f"{limits.epsneg}{suffix}",
        LANES=LANES,
        ROWS=ROWS,
        PACK_BYTES=PACK_BYTES,
        BIAS_PACKS=BIAS_PACKS,
        THREADS=THREADS,
        MOST_THREADS=max(THREADS, ROWS * MOST_STRIPS),
        RANDOM_LAYERS=randoms.LAYERS,
        RANDOM_LANE=randoms.LANE,
        AFFINE_LAYER=augmentation.AFFINE,
        NOISE_LAYER=augmentation.NOISE,
        SMOOTHED=SMOOTHED,
    )


def defined(**constants: object) -> str:
    """Write constants as preprocessor definitions."""
    return "".join(f"#define {name} {value}\n" for name, value in constants.items())


def layer_source(dtype: np.dtype[Any]) -> str:
    """The type in which a layer's a and z are stored."""
    return "#define A Bf16\n" if dtype == BF16 else ""


def activation_source(f: Activation) -> str:
    """The C spelling of an activation: F(z) and F_PRIME(a, z)."""
    if f.cuda is None:
        raise BackendError(f"the activation '{f.name}' has no CUDA spelling: give Activation its `cuda` pair")
    return f"#define F(z) ({f.cuda[0]})\n#define F_PRIME(a, z) ({f.cuda[1]})\n"


def cost_source(cost: Cost, f: Activation) -> str:
    """The C spelling of a cost after an activation; softmax's derivative is not included."""
    if cost.cuda is None:
        raise BackendError(f"the cost '{cost.name}' has no CUDA spelling: give Cost its `cuda` pair")
    loss = cost.cuda_of_z if cost.reads_z(f) else cost.cuda[0]
    before = "#define F_PRIME(a, z) T(1)\n" if f is SOFTMAX else activation_source(f)
    paired = cost.pairs(f)
    error = "a - y" if paired else f"({cost.cuda[1]}) * (F_PRIME(a, z))"
    parameter = "".join(f"#define PARAMETER T({x!r})\n" for x in cost.cuda_parameters[:1])
    return f"{before}{parameter}#define LOSS(a, y, z) ({loss})\n#define OUTPUT_ERROR(a, y, z) ({error})\n"


def rule_source(rule: Rule) -> str:
    """The C spelling of an optimizer's rule: RULE, and the pace PACE_0, PACE_1 that all elements share."""
    if rule.cuda is None:
        raise BackendError(f"the optimizer {type(rule).__name__} has no CUDA spelling: give its class `cuda`")
    first, second = (*rule.pace, "0")[:2]
    counts = "#define COUNTS_STEPS\n" if rule.counts_steps else ""
    own_scope = f"{{ {rule.cuda} }}"
    return counts + defined(RULE=own_scope, PACE_0=first, PACE_1=second, STATES=len(rule.states))


def constants_of(rule: Rule) -> tuple[float, ...]:
    """The rule's constants n0, n1, n2; those that it does not have are 0."""
    own = [float(getattr(rule, name)) for name in rule.constants]
    return *own, *[0.0] * (CONSTANTS - len(own))


def network_source(hidden: Sequence[Activation], cost: Cost, output: Activation, **constants: object) -> str:
    """The C spelling of a whole network, for resident.cu; hidden: f[1]…f[L−1]."""
    spelled = [f.cuda for f in hidden if f.cuda]
    return (
        cost_source(cost, output)
        + defined(**constants)
        + _by_layer("activation", "int l, T z", [f for f, _ in spelled])
        + _by_layer("derivative", "int l, T a, T z", [prime for _, prime in spelled])
    )


def _by_layer(name: str, parameters: str, expressions: Sequence[str]) -> str:
    """Write a function of the layer; one expression is enough if they are all the same."""
    if len(set(expressions)) <= 1:
        expressions = expressions[:1] or ["T(0)"]
    cases = "".join(f"    if (l == {l}) return {x};\n" for l, x in enumerate(expressions[:-1], 1))
    unused = "".join(f" (void){parameter.split()[-1]};" for parameter in parameters.split(","))
    head = f"static __device__ T {name}({parameters}) {{\n   {unused}\n"
    return f"{head}{cases}    return {expressions[-1]};\n}}\n"
