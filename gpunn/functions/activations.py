"""The activations f and f′: each with its NumPy and its CUDA spelling on adjacent lines.

The NumPy spelling is *bound*: given its buffers it returns the list of calls that compute it, so that
running it allocates nothing. `f` works in place (the buffer holds z, then a = f(z)); `backward`
multiplies an error by f′ in place, with f′ written in a wherever that is possible. The CUDA spelling is
the pair of C expressions f(z) and f′(a, z), in the scalar type T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from gpunn.functions.calls import Array, Calls, constant, filled, like
from gpunn.names import look_up


@dataclass(frozen=True)
class Activation:
    """One activation function, elementwise (softmax: by column). Your own: `Activation.from_functions`.

    Attributes:
        name: what it is called, and saved as.
        f: f(a, s) returns the calls that turn z into f(z), in place in a (n, m); s is scratch of its shape.
        backward: backward(delta, a, z, s) returns the calls for delta ← delta ⊙ f′(z), all (n, m); they may
            overwrite z and s.
        cuda: (f in z, f′ in a and z), as C expressions; None where there is no elementwise spelling.
        keeps_z: f′ needs z itself, so a must not overwrite it.
        values: an open interval that holds them all, where one matters.
    """

    name: str
    f: Callable[[Array, Array], Calls]
    backward: Callable[[Array, Array, Array, Array], Calls]
    cuda: tuple[str, str] | None
    keeps_z: bool = False
    values: tuple[float, float] = (-math.inf, math.inf)

    @classmethod
    def from_functions(
        cls,
        f: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        name: str = "custom",
        cuda: tuple[str, str] | None = None,
    ) -> Activation:
        """An activation of your own from two NumPy functions of z, f(z) and f′(z), both elementwise.

        Args:
            f: of z (n, m), returns as much.
            derivative: f′, likewise of z.
            name: for error messages; a network with a function of your own cannot be saved.
            cuda: the same two as C expressions, f in `z` and f′ in `a` and `z`, if it is to run on a GPU.

        >>> softsign = gpunn.Activation.from_functions(
        ...     lambda z: z / (1 + abs(z)),
        ...     lambda z: 1 / (1 + abs(z)) ** 2,
        ...     cuda=("z / (1 + fabs(z))", "1 / ((1 + fabs(z)) * (1 + fabs(z)))"),
        ... )
        >>> net = gpunn.Network(4, [gpunn.Dense(3, softsign), gpunn.Dense(2, "softmax")], seed=0)
        >>> gpunn.check_gradients(net, np.eye(4), [0, 1, 0, 1]) < 1e-6
        True
        """
        return cls(name, partial(_by, f), partial(_times, derivative), cuda=cuda, keeps_z=True)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled by name, where it has one of ours."""
        own = ACTIVATIONS.get(self.name) is not self
        return super().__reduce_ex__(protocol) if own else (get, (self.name,))


def _by(f: Callable[[Array], Array], a: Array, s: Array) -> Calls:
    """a = f(a), by a function of the user's."""
    return [lambda: np.copyto(a, like(a, f(a), "an activation"))]


def _times(derivative: Callable[[Array], Array], delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """δ = δ ⊙ f′(z), likewise."""
    return [lambda: np.multiply(delta, derivative(z), delta)]


def _sigmoid(a: Array, s: Array) -> Calls:
    """a = ½ + ½ tanh(z/2): the same function as 1/(1 + e⁻ᶻ), and NumPy's tanh is vectorised."""
    if a.size < 256:  # too small for that to matter: one call instead of four
        return [partial(special.expit, a, a)]
    half = constant(a, 0.5)
    return [
        partial(np.multiply, a, half, a),
        partial(np.tanh, a, a),
        partial(np.multiply, a, half, a),
        partial(np.add, a, half, a),
    ]


def _sigmoid_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    return [
        partial(np.subtract, constant(a, 1), a, s),
        partial(np.multiply, s, a, s),
        partial(np.multiply, delta, s, delta),
    ]


def _tanh_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    return [
        partial(np.multiply, a, a, s),
        partial(np.subtract, constant(a, 1), s, s),
        partial(np.multiply, delta, s, delta),
    ]


def _relu(a: Array, s: Array) -> Calls:
    return [partial(np.maximum, a, filled(a.shape, a.dtype, 0), out=a)]


def _relu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = min(⌈a⌉, 1): 1 where a > 0, else 0, with no Boolean to convert."""
    return [
        partial(np.ceil, a, s),
        partial(np.minimum, s, filled(a.shape, a.dtype, 1), out=s),
        partial(np.multiply, delta, s, delta),
    ]


LEAK = 0.01


def _leaky_relu(a: Array, s: Array) -> Calls:
    return [partial(np.multiply, a, constant(a, LEAK), s), partial(np.maximum, a, s, out=a)]


def _leaky_relu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = ⌈a⌉ clipped to [0.01, 1]."""
    return [
        partial(np.ceil, a, s),
        partial(np.clip, s, constant(a, LEAK), constant(a, 1), s),
        partial(np.multiply, delta, s, delta),
    ]


def _elu(a: Array, s: Array) -> Calls:
    """a = max(z, exp(min(z, 0)) − 1), since eᶻ − 1 ≥ z."""
    return [
        partial(np.minimum, a, constant(a, 0), out=s),
        partial(np.expm1, s, s),
        partial(np.maximum, a, s, out=a),
    ]


def _elu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    return [
        partial(np.minimum, a, constant(a, 0), out=s),
        partial(np.add, s, constant(a, 1), s),
        partial(np.multiply, delta, s, delta),
    ]


def _gelu(a: Array, s: Array) -> Calls:
    return [partial(special.ndtr, a, s), partial(np.multiply, a, s, a)]


def _gelu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = Φ(z) + z φ(z)."""
    return [
        partial(np.multiply, z, z, s),
        partial(np.multiply, s, constant(z, -0.5), s),
        partial(np.exp, s, s),
        partial(np.multiply, s, constant(z, 1 / math.sqrt(2 * math.pi)), s),
        partial(np.multiply, s, z, s),
        partial(special.ndtr, z, z),
        partial(np.add, s, z, s),
        partial(np.multiply, delta, s, delta),
    ]


def _softplus_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = σ(z) = 1 − e⁻ᵃ."""
    return [
        partial(np.negative, a, s),
        partial(np.expm1, s, s),
        partial(np.multiply, delta, s, delta),
        partial(np.negative, delta, delta),
    ]


def _softmax(a: Array, s: Array) -> Calls:
    """aᵢ = exp(zᵢ − max z) / Σ exp(zⱼ − max z), by column; reduced in a row-major copy, where it is fast.

    Each column's maximum and sum are spread over a full matrix, since NumPy allocates when it broadcasts.
    """
    rows, row, spread = s.T.reshape(s.shape), np.empty((1, a.shape[1]), a.dtype), np.empty(a.shape, a.dtype)
    return [
        partial(np.copyto, rows, a),
        partial(np.maximum.reduce, rows, 0, None, row, True),
        partial(np.copyto, spread, row),
        partial(np.subtract, rows, spread, rows),
        partial(np.exp, rows, rows),
        partial(np.add.reduce, rows, 0, None, row, True),
        partial(np.copyto, spread, row),
        partial(np.divide, rows, spread, rows),
        partial(np.copyto, a, rows),
    ]


def _softmax_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """delta ← a ⊙ (delta − Σ delta ⊙ a): the product with the softmax's full Jacobian."""
    row = np.empty((1, a.shape[1]), a.dtype)
    return [
        partial(np.multiply, delta, a, s),
        partial(np.add.reduce, s, 0, None, row, True),
        partial(np.copyto, s, row),
        partial(np.subtract, delta, s, delta),
        partial(np.multiply, delta, a, delta),
    ]


def _nothing(*buffers: Array) -> Calls:
    return []


_ALL = [
    Activation(
        "sigmoid",
        _sigmoid,
        _sigmoid_backward,
        cuda=("1 / (1 + exp(-z))", "a * (1 - a)"),
        values=(0, 1),
    ),
    Activation("tanh", lambda a, s: [partial(np.tanh, a, a)], _tanh_backward, cuda=("tanh(z)", "1 - a * a")),
    Activation("relu", _relu, _relu_backward, cuda=("z > 0 ? z : T(0)", "T(a > 0)")),
    Activation(
        "leaky relu",
        _leaky_relu,
        _leaky_relu_backward,
        cuda=(f"z > 0 ? z : T({LEAK}) * z", f"a > 0 ? T(1) : T({LEAK})"),
    ),
    Activation("elu", _elu, _elu_backward, cuda=("z > 0 ? z : expm1(z)", "a > 0 ? T(1) : a + 1")),
    Activation(
        "gelu",
        _gelu,
        _gelu_backward,
        cuda=(
            "z * erfc(z * T(-0.7071067811865476)) / 2",
            "erfc(z * T(-0.7071067811865476)) / 2 + z * exp(-z * z / 2) * T(0.3989422804014327)",
        ),
        keeps_z=True,
    ),
    Activation(
        "softplus",
        lambda a, s: [partial(np.logaddexp, a, constant(a, 0), a)],
        _softplus_backward,
        cuda=("(z > 0 ? z : T(0)) + log1p(exp(-fabs(z)))", "-expm1(-a)"),
        values=(0, math.inf),
    ),
    Activation(
        "exp",
        lambda a, s: [partial(np.exp, a, a)],
        lambda delta, a, z, s: [partial(np.multiply, delta, a, delta)],
        cuda=("exp(z)", "a"),
        values=(0, math.inf),
    ),
    Activation("identity", _nothing, _nothing, cuda=("z", "T(1)")),
    Activation("softmax", _softmax, _softmax_backward, cuda=None, values=(0, 1)),
]
ACTIVATIONS = {f.name: f for f in _ALL}


def get(f: str | Activation | tuple[Callable[[Array], Array], Callable[[Array], Array]]) -> Activation:
    """An activation by name, as it is, or from a pair of NumPy functions (f, f′) of z."""
    if isinstance(f, Activation):
        return f
    if isinstance(f, tuple):
        return Activation.from_functions(*f)
    if not isinstance(f, str):
        raise ValueError(f"an activation must be a name, an Activation or a pair (f, f′), not {f!r}")
    return look_up(ACTIVATIONS, f.replace("_", " ").replace("-", " "), "activation")
