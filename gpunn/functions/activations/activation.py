"""The record of an activation: f and f′ with all their spellings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from gpunn.functions.calls import Array, Calls, check_shape

TorchModule: TypeAlias = tuple[str, dict[str, tuple[Any, ...]]]


@dataclass(frozen=True)
class Activation:
    """One activation function, elementwise (softmax: by column). Your own: `Activation.from_functions`.

    Attributes:
        name: its name in code, on the command line and in model files.
        f: f(a, s) returns the calls that turn z into f(z), in place in a (n, m); s (n, m) is scratch.
        backward: backward(delta, a, z, s) returns the calls for delta ← delta ⊙ f′(z), all (n, m); they may
            overwrite z and s.
        cuda: (f in z, f′ in a and z) as C expressions; None if there is no elementwise CUDA spelling.
        keeps_z: f′ needs z itself, so a must not overwrite it.
        values: the open interval that contains all values of f.
        by_column: f couples the outputs of an example, so f′ is a Jacobian; the values of each column sum
            to 1.
        onnx: assignments in ONNX's textual syntax that compute a from z, examples in rows.
        torch: (class in `torch.nn`, {setting: equivalent values, of which the first is written}).
        javascript: f as a JavaScript expression in a number z (by_column: in an array z).
        latex: (f, f′) as LaTeX, f′ in terms of a whenever possible.
        init: the initialiser that usually precedes it.
        source: the paper or chapter that introduced it.
    """

    name: str
    f: Callable[[Array, Array], Calls]
    backward: Callable[[Array, Array, Array, Array], Calls]
    cuda: tuple[str, str] | None
    keeps_z: bool = False
    values: tuple[float, float] = (-math.inf, math.inf)
    by_column: bool = False
    onnx: str | None = None
    torch: TorchModule | None = field(default=None, hash=False)
    javascript: str | None = None
    latex: tuple[str, str] | None = None
    init: str = "glorot"
    source: str = ""

    @classmethod
    def from_functions(
        cls,
        f: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        name: str = "custom",
        cuda: tuple[str, str] | None = None,
    ) -> Activation:
        """Make an activation from two elementwise NumPy functions of z, f(z) and f′(z).

        Args:
            f: maps z (n, m) to an array of the same shape.
            derivative: f′, maps z (n, m) to an array of the same shape.
            name: for error messages; a network with a function of your own cannot be saved.
            cuda: f in `z` and f′ in `a` and `z`, as C expressions; required on a GPU.

        >>> softsign = gpunn.Activation.from_functions(
        ...     lambda z: z / (1 + abs(z)),
        ...     lambda z: 1 / (1 + abs(z)) ** 2,
        ...     cuda=("z / (1 + fabs(z))", "1 / ((1 + fabs(z)) * (1 + fabs(z)))"),
        ... )
        >>> net = gpunn.Network(4, [gpunn.Dense(3, softsign), gpunn.Dense(2, "softmax")], seed=0)
        >>> gpunn.check_gradients(net, np.eye(4), [0, 1, 0, 1]) < 1e-6
        True
        """
        return cls(name, partial(_apply, f), partial(_apply_backward, derivative), cuda=cuda, keeps_z=True)

    @property
    def gives_probabilities(self) -> bool:
        """Whether its values lie in (0, 1)."""
        return self.values == (0, 1)


def _apply(f: Callable[[Array], Array], a: Array, s: Array) -> Calls:
    """a ← f(a), for a function of the user's."""
    return [lambda: np.copyto(a, check_shape(f(a), a, "an activation"))]


def _apply_backward(f_prime: Callable[[Array], Array], delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """δ ← δ ⊙ f′(z), for a function of the user's."""
    return [lambda: np.multiply(delta, f_prime(z), delta)]
