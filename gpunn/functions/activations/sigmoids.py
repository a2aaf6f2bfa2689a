"""Activations that saturate: sigmoid and tanh."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy  # loads scipy.special when a function needs it: texts made of the entries do not

from gpunn.functions.activations.activation import Activation
from gpunn.functions.calls import Array, Calls, constant


def sigmoid(a: Array, s: Array) -> Calls:
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
    sigmoid,
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
