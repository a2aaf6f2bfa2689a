"""Activations: f and f′, each with all its spellings in one entry.

The NumPy spelling is *bound*: given its buffers, it returns the list of calls that compute it, and running
them allocates nothing. `f` works in place (the buffer holds z, then a = f(z)). `backward` multiplies an error
by f′ in place, with f′ written in terms of a whenever possible. The CUDA spelling is the pair of C
expressions f(z) and f′(a, z), in the scalar type T.

To add an activation, write its entry here, list it in `ACTIVATIONS`, add its formula to `gpunn/reference.py`,
and update the JSON schema (`PYTHONPATH=. python tests/support/schema_names.py`). Everything else follows from
the entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy  # loads scipy.special when a function needs it: texts made of the entries do not

from gpunn.functions.calls import Array, Calls, check_shape, constant, filled
from gpunn.names import OtherNames, look_up

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
    def is_own(self) -> bool:
        """Whether the user wrote it, so that it has no spelling but the user's."""
        return ACTIVATIONS.get(self.name) is not self

    @property
    def gives_probabilities(self) -> bool:
        """Whether its values lie in (0, 1)."""
        return self.values == (0, 1)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a built-in activation by its name."""
        return super().__reduce_ex__(protocol) if self.is_own else (get, (self.name,))


def _apply(f: Callable[[Array], Array], a: Array, s: Array) -> Calls:
    """a ← f(a), for a function of the user's."""
    return [lambda: np.copyto(a, check_shape(f(a), a, "an activation"))]


def _apply_backward(f_prime: Callable[[Array], Array], delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """δ ← δ ⊙ f′(z), for a function of the user's."""
    return [lambda: np.multiply(delta, f_prime(z), delta)]


def _sigmoid(a: Array, s: Array) -> Calls:
    """a = ½ + ½ tanh(z/2), which equals 1/(1 + e⁻ᶻ); unlike expit, NumPy's tanh is vectorised."""
    if a.size < 256:  # too small to gain from vectorisation: make one call instead of four
        return [partial(scipy.special.expit, a, a)]
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


SIGMOID = Activation(
    "sigmoid",
    _sigmoid,
    _sigmoid_backward,
    cuda=("1 / (1 + exp(-z))", "a * (1 - a)"),
    values=(0, 1),
    onnx="a = Sigmoid(z)",
    torch=("Sigmoid", {}),
    javascript="1 / (1 + Math.exp(-z))",
    latex=(r"1 / (1 + e^{-z})", r"a (1 - a)"),
    source="Nielsen, chapter 1",
)


def _tanh_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    return [
        partial(np.multiply, a, a, s),
        partial(np.subtract, constant(a, 1), s, s),
        partial(np.multiply, delta, s, delta),
    ]


TANH = Activation(
    "tanh",
    lambda a, s: [partial(np.tanh, a, a)],
    _tanh_backward,
    cuda=("tanh(z)", "1 - a * a"),
    onnx="a = Tanh(z)",
    torch=("Tanh", {}),
    javascript="Math.tanh(z)",
    latex=(r"\tanh z", r"1 - a^2"),
    source="LeCun et al. 1998",
)


def _relu(a: Array, s: Array) -> Calls:
    return [partial(np.maximum, a, filled(a.shape, a.dtype, 0), out=a)]


def _relu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = 1 if a > 0, else 0: a's bits as an integer, at most 1, by which δ's bits are multiplied."""
    bits = np.dtype(f"i{a.itemsize}")
    delta, a, s = (x.view(bits) for x in (delta, a, s))
    return [partial(np.minimum, a, filled(a.shape, bits, 1), out=s), partial(np.multiply, delta, s, delta)]


RELU = Activation(
    "relu",
    _relu,
    _relu_backward,
    cuda=("z > 0 ? z : T(0)", "T(a > 0)"),
    onnx="a = Relu(z)",
    torch=("ReLU", {}),
    javascript="Math.max(z, 0)",
    latex=(r"\max(0, z)", r"\begin{cases} 1 & a > 0 \\ 0 & \text{else} \end{cases}"),
    init="he",
    source="Nair and Hinton 2010",
)

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


LEAKY_RELU = Activation(
    "leaky relu",
    _leaky_relu,
    _leaky_relu_backward,
    cuda=(f"z > 0 ? z : T({LEAK}) * z", f"a > 0 ? T(1) : T({LEAK})"),
    onnx=f"a = LeakyRelu <alpha = {LEAK}> (z)",
    torch=("LeakyReLU", {"negative_slope": (LEAK,)}),
    javascript=f"Math.max(z, {LEAK} * z)",
    latex=(r"\max(z, z / 100)", r"\begin{cases} 1 & a > 0 \\ 1/100 & \text{else} \end{cases}"),
    init="he",
    source="Maas, Hannun and Ng 2013",
)


def _elu(a: Array, s: Array) -> Calls:
    """a = max(z, exp(min(z, 0)) − 1), since eᶻ − 1 ≥ z."""
    return [
        partial(np.minimum, a, constant(a, 0), out=s),
        partial(np.expm1, s, s),
        partial(np.maximum, a, s, out=a),
    ]


def _elu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = min(a, 0) + 1."""
    return [
        partial(np.minimum, a, constant(a, 0), out=s),
        partial(np.add, s, constant(a, 1), s),
        partial(np.multiply, delta, s, delta),
    ]


ELU = Activation(
    "elu",
    _elu,
    _elu_backward,
    cuda=("z > 0 ? z : expm1(z)", "a > 0 ? T(1) : a + 1"),
    onnx="a = Elu(z)",
    torch=("ELU", {"alpha": (1,)}),
    javascript="z > 0 ? z : Math.expm1(z)",
    latex=(
        r"\begin{cases} z & z > 0 \\ e^z - 1 & \text{else} \end{cases}",
        r"\begin{cases} 1 & a > 0 \\ a + 1 & \text{else} \end{cases}",
    ),
    init="he",
    source="Clevert, Unterthiner and Hochreiter 2016",
)


def _gelu(a: Array, s: Array) -> Calls:
    """a = z Φ(z)."""
    return [partial(scipy.special.ndtr, a, s), partial(np.multiply, a, s, a)]


def _gelu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = Φ(z) + z φ(z)."""
    return [
        partial(np.multiply, z, z, s),
        partial(np.multiply, s, constant(z, -0.5), s),
        partial(np.exp, s, s),
        partial(np.multiply, s, constant(z, 1 / math.sqrt(2 * math.pi)), s),
        partial(np.multiply, s, z, s),
        partial(scipy.special.ndtr, z, z),
        partial(np.add, s, z, s),
        partial(np.multiply, delta, s, delta),
    ]


GELU = Activation(
    "gelu",
    _gelu,
    _gelu_backward,
    cuda=(
        "z * erfc(z * T(-0.7071067811865476)) / 2",
        "erfc(z * T(-0.7071067811865476)) / 2 + z * exp(-z * z / 2) * T(0.3989422804014327)",
    ),
    keeps_z=True,
    onnx="a = Gelu(z)",
    torch=("GELU", {"approximate": ("none",)}),
    javascript="(z * (1 + erf(z / Math.SQRT2))) / 2",
    latex=(r"z\,\Phi(z)", r"\Phi(z) + z\,\varphi(z)"),
    init="he",
    source="Hendrycks and Gimpel 2016",
)


def _swish(a: Array, s: Array) -> Calls:
    """a = z σ(z)."""
    return [partial(np.copyto, s, a), *_sigmoid(s, s), partial(np.multiply, a, s, a)]


def _swish_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = σ(z) + a (1 − σ(z)), with σ(z) in place of z."""
    return [
        *_sigmoid(z, s),
        partial(np.subtract, constant(a, 1), z, s),
        partial(np.multiply, s, a, s),
        partial(np.add, s, z, s),
        partial(np.multiply, delta, s, delta),
    ]


SWISH = Activation(
    "swish",
    _swish,
    _swish_backward,
    cuda=("z / (1 + exp(-z))", "a + (1 - a) / (1 + exp(-z))"),
    keeps_z=True,
    onnx="s = Sigmoid(z) a = Mul(z, s)",
    torch=("SiLU", {}),
    javascript="z / (1 + Math.exp(-z))",
    latex=(r"z\,\sigma(z)", r"\sigma(z) + a (1 - \sigma(z))"),
    init="he",
    source="Ramachandran, Zoph and Le 2017",
)


def _softplus_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = σ(z) = 1 − e⁻ᵃ."""
    return [
        partial(np.negative, a, s),
        partial(np.expm1, s, s),
        partial(np.multiply, delta, s, delta),
        partial(np.negative, delta, delta),
    ]


SOFTPLUS = Activation(
    "softplus",
    lambda a, s: [partial(np.logaddexp, a, constant(a, 0), a)],
    _softplus_backward,
    cuda=("(z > 0 ? z : T(0)) + log1p(exp(-fabs(z)))", "-expm1(-a)"),
    values=(0, math.inf),
    onnx="a = Softplus(z)",
    torch=("Softplus", {"beta": (1,), "threshold": (20,)}),
    javascript="Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)))",
    latex=(r"\ln(1 + e^z)", r"1 - e^{-a}"),
    init="he",
    source="Dugas et al. 2001",
)

EXP = Activation(
    "exp",
    lambda a, s: [partial(np.exp, a, a)],
    lambda delta, a, z, s: [partial(np.multiply, delta, a, delta)],
    cuda=("exp(z)", "a"),
    values=(0, math.inf),
    onnx="a = Exp(z)",
    javascript="Math.exp(z)",
    latex=(r"e^z", r"a"),
)


def _nothing(*buffers: Array) -> Calls:
    return []


IDENTITY = Activation(
    "identity",
    _nothing,
    _nothing,
    cuda=("z", "T(1)"),
    onnx="a = Identity(z)",
    torch=("Identity", {}),
    javascript="z",
    latex=(r"z", r"1"),
)


def _softmax(a: Array, s: Array) -> Calls:
    """aᵢ = exp(zᵢ − max z) / Σ exp(zⱼ − max z), by column.

    The reductions run in a row-major copy, where they are fast. Each column's maximum and sum are spread over
    a full matrix, since NumPy allocates when it broadcasts.
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
    """δ ← a ⊙ (δ − Σ δ ⊙ a): the product with the softmax's full Jacobian."""
    row = np.empty((1, a.shape[1]), a.dtype)
    return [
        partial(np.multiply, delta, a, s),
        partial(np.add.reduce, s, 0, None, row, True),
        partial(np.copyto, s, row),
        partial(np.subtract, delta, s, delta),
        partial(np.multiply, delta, a, delta),
    ]


SOFTMAX = Activation(
    "softmax",
    _softmax,
    _softmax_backward,
    cuda=None,
    values=(0, 1),
    by_column=True,
    onnx="a = Softmax <axis = 1> (z)",
    torch=("Softmax", {"dim": (1, -1)}),
    javascript="softmax(z)",
    latex=(r"e^{z_i} / \sum_j e^{z_j}", r"\mathrm{diag}(a) - a a^T"),
    source="Bridle 1990",
)

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
