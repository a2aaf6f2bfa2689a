"""Activations that grow without bound above 0: relu and its smooth relatives."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import scipy  # loads scipy.special when a function needs it: texts made of the entries do not

from gpunn.functions.activations.activation import Activation
from gpunn.functions.activations.sigmoids import sigmoid
from gpunn.functions.calls import Array, Calls, constant


def _relu(a: Array, s: Array) -> Calls:
    return [partial(np.maximum, a, constant(a, 0), out=a)]


def _relu_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = 1 if a > 0, else 0."""
    return [
        partial(np.greater, a, constant(a, 0), s, casting="unsafe"),
        partial(np.multiply, delta, s, delta),
    ]


RELU = Activation(
    "relu",
    _relu,
    _relu_backward,
    cuda=("z < 0 ? T(0) : z", "T(a > 0)"),
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
    return [partial(np.copyto, s, a), *sigmoid(s, s), partial(np.multiply, a, s, a)]


def _swish_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """f′ = σ(z) + a (1 − σ(z)), with σ(z) in place of z."""
    return [
        *sigmoid(z, s),
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
