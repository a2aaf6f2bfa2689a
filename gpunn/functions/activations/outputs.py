"""Activations of output layers: identity, exp and softmax."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from gpunn.functions.activations.activation import Activation
from gpunn.functions.calls import Array, Calls

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
    """aᵢ = exp(zᵢ − max z) / Σ exp(zⱼ − max z), by column."""
    row = np.empty((1, a.shape[1]), a.dtype)
    return [
        partial(np.maximum.reduce, a, 0, None, row, True),
        partial(np.subtract, a, row, a),
        partial(np.exp, a, a),
        partial(np.add.reduce, a, 0, None, row, True),
        partial(np.divide, a, row, a),
    ]


def _softmax_backward(delta: Array, a: Array, z: Array, s: Array) -> Calls:
    """δ ← a ⊙ (δ − Σ δ ⊙ a): the product with the softmax's full Jacobian."""
    row = np.empty((1, a.shape[1]), a.dtype)
    return [
        partial(np.multiply, delta, a, s),
        partial(np.add.reduce, s, 0, None, row, True),
        partial(np.subtract, delta, row, delta),
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
