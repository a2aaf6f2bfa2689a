"""Activations: f and f′, each with all its spellings in one entry.

`activation` says what an entry is. The entries are in `sigmoids`, `rectifiers` and `outputs`.

The NumPy spelling is *bound*: given its buffers, it returns the list of calls that compute it, and running
them allocates nothing. `f` works in place (the buffer holds z, then a = f(z)). `backward` multiplies an error
by f′ in place, with f′ written in terms of a whenever possible. The CUDA spelling is the pair of C
expressions f(z) and f′(a, z), in the scalar type T.

To add an activation, write its entry, list it in `ACTIVATIONS` here, add its formula to
`gpunn/reference.py`, and update the JSON schema (`PYTHONPATH=. python tests/support/schema_names.py`).
Everything else follows from the entry.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

from gpunn.functions.activations.activation import Activation
from gpunn.functions.activations.outputs import EXP, IDENTITY, SOFTMAX
from gpunn.functions.activations.rectifiers import ELU, GELU, LEAKY_RELU, RELU, SOFTPLUS, SWISH
from gpunn.functions.activations.sigmoids import SIGMOID, TANH
from gpunn.functions.calls import Array
from gpunn.names import OtherNames, look_up

__all__ = ["ACTIVATIONS", "OTHER_NAMES", "Activation", "get", "is_own"]


ACTIVATIONS = {
    f.name: f
    for f in (SIGMOID, TANH, RELU, LEAKY_RELU, ELU, GELU, SWISH, SOFTPLUS, EXP, IDENTITY, SOFTMAX)
}  # fmt: skip

OTHER_NAMES = OtherNames(
    aliases={
        "linear": "identity",
        "logistic": "sigmoid",
        "expit": "sigmoid",
        "silu": "swish",
        "exponential": "exp",
    },
    near={
        "mish": "'swish' (z σ(z))",
        "prelu": "'leaky relu' (slope 0.01 below 0)",
        "relu6": "'relu' (no upper bound)",
        "selu": "'elu' (without a scale)",
        "softsign": "'tanh', or a pair of functions (f, f′)",
        "log softmax": "'softmax' (with the cost 'cross-entropy', computed from z)",
    },
)


def get(f: str | Activation | tuple[Callable[[Array], Array], Callable[[Array], Array]]) -> Activation:
    """Look up an activation by name, make one of a pair of NumPy functions (f, f′), or return it as it is."""
    if isinstance(f, Activation):
        return f
    if isinstance(f, tuple):
        return Activation.from_functions(*f)
    if not isinstance(f, str):
        raise ValueError(f"an activation must be a name, an Activation or a pair (f, f′), not {f!r}")
    return look_up(ACTIVATIONS, f, "activation", OTHER_NAMES)


def is_own(f: Activation) -> bool:
    """Whether the activation is the user's own, with NumPy functions as its only spelling."""
    return ACTIVATIONS.get(f.name) is not f


def _reduce(f: Activation) -> Any:
    """Pickle a built-in activation by its name."""
    return f.__reduce_ex__(4) if is_own(f) else (get, (f.name,))


copyreg.pickle(Activation, _reduce)
