"""Feedforward and back-propagation on CUDA: one function lowers an equation to kernels and products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import Buffer, Product
from gpunn.backends.cuda.fusing import ForwardError, WeightGradient, WithBiasGradient
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.source import activation_source, cost_source, layer_source
from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.core.equations import (
    Activate,
    Affine,
    ApplyWeights,
    Drop,
    Equation,
    Forward,
    Gradient,
    HiddenError,
    Normalise,
    NormError,
    OutputError,
)
from gpunn.core.parameters import NORM_COLUMNS, Parameters
from gpunn.functions import randoms
from gpunn.functions.activations import IDENTITY, RELU, SOFTMAX, Activation
from gpunn.functions.calls import Calls

IN_THE_PRODUCT = (IDENTITY, RELU)  # activations that a product with bias can apply, too

# feedforward


def drop(k: Kernels, e: Drop) -> Calls:
    """mask ← 0 or 1 at random; a ← a ⊙ mask."""
    drawn = randoms.threshold(e.rate), e.layer, e.p.key, e.p.step
    return k.each("drop", e.a.size, *drawn, e.mask, e.a)


def forward(k: Kernels, e: Forward) -> Calls:
    """z = w a + b, out = f(z)."""
    return _forward(k, e.theta, e.layer, e.f, e.a, e.z, e.out)


def affine(k: Kernels, e: Affine) -> Calls:
    """out = w a + b."""
    return _forward(k, e.theta, e.layer, IDENTITY, e.a, e.out, e.out)


def _forward(
    k: Kernels, theta: Parameters, layer: int, f: Activation, a: Buffer, z: Buffer, out: Buffer
) -> Calls:
    product = _affine_product(k, theta, layer, a, z)
    if f in IN_THE_PRODUCT and z.pointer == out.pointer:
        own = theta if z.dtype == k.memory.dtype else k.memory.low_precision(theta)
        whole = replace(product, bias=own.b[layer], relu=f is RELU)
        if call := k.device.product(whole, k.memory.precision):
            return [call]
    (n, m), b, module = z.shape, theta.b[layer], layer_source(z.dtype)
    if f is SOFTMAX:
        return [k.product(product), *k.columns("forward_softmax", m, n, b, z, out, module=module)]
    return [
        k.product(product),
        *k.each("forward", z.size, n, b, z, out, module=module + activation_source(f)),
    ]


def _affine_product(k: Kernels, theta: Parameters, layer: int, a: Buffer, z: Buffer) -> Product:
    """z = w a."""
    w = k.memory.low_precision(theta).w[layer]
    return Product(k.memory.fixed(a.scale), w, a, k.memory.zero, z)


def normalise(k: Kernels, e: Normalise) -> Calls:
    """z ← γ (z − μ)/√(σ² + ε) + β, in place."""
    own = e.theta.norm[e.layer]
    assert own
    columns = (own[name] for name in NORM_COLUMNS)
    settings = int(e.norm.by_batch), NORM_EPSILON, NORM_MOMENTUM
    return k.rows("normalise", *e.z.shape, *settings, *columns, e.z, e.norm.z, e.norm.gain)


def activate(k: Kernels, e: Activate) -> Calls:
    """out = f(z)."""
    if e.f is SOFTMAX:
        (n, m), no_bias = e.z.shape, k.memory.put(np.zeros(e.z.shape[0]))
        return k.columns("forward_softmax", m, n, no_bias, e.z, e.out, module=layer_source(e.z.dtype))
    return k.each("activate", e.out.size, e.z, e.out, module=activation_source(e.f))


# back-propagation; a kernel that makes δ row by row can do BP3, too, if it is given the gradient


def bias_landing(k: Kernels, gradient: Gradient | None) -> tuple[Any, ...]:
    """The last arguments of these kernels: whether BP3 lands, by which α and β, and where."""
    if gradient is None:
        return 0, k.memory.zero, k.memory.zero, k.memory.zero
    cell = k.memory.cell
    return 1, cell(gradient.alpha), cell(gradient.beta), gradient.into.b[gradient.layer]


def output_error(k: Kernels, e: OutputError, bias: Gradient | None = None) -> Calls:
    """BP1: out = ∇C ⊙ f′(z)."""
    (n, m), f, cost, a, y, out = e.out.shape, e.f, e.cost, e.a, e.y, e.out
    if f is SOFTMAX and cost.pairs(f):
        return k.each("difference", out.size, a, y, out)
    if cost.cuda_columns:
        gradient = k.columns(cost.cuda_columns[1], m, n, a, y, out)
        return [*gradient, *_times_derivative(k, f, e.z, a, None, out, bias)]
    landing, module = bias_landing(k, bias), cost_source(cost, f)
    calls = k.rows("output_error", n, m, a, y, e.z, out, *landing, module=module)
    return calls + _times_derivative(k, f, e.z, a, None, out) if f is SOFTMAX else calls


def forward_error(k: Kernels, e: ForwardError, bias: Gradient | None = None) -> Calls:
    """z = w a + b, out = f(z), δ = ∇C ⊙ f′(z)."""
    theta, layer, z, a, error = e.forward.theta, e.forward.layer, e.forward.z, e.forward.out, e.error
    (n, m), b, product = z.shape, theta.b[layer], _affine_product(k, theta, layer, e.forward.a, z)
    if error.f is SOFTMAX:
        return [k.product(product), *k.columns("forward_softmax_error", m, n, b, error.y, z, a, error.out)]
    places, module = (b, error.y, z, a, error.out), cost_source(error.cost, error.f)
    return [
        k.product(product),
        *k.rows("forward_output_error", n, m, *places, *bias_landing(k, bias), module=module),
    ]


def apply_weights(k: Kernels, e: ApplyWeights) -> Calls:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    return k.each("apply_weights", e.delta.size, e.delta.shape[0], e.weights, e.delta)


def hidden_error(k: Kernels, e: HiddenError, bias: Gradient | None = None) -> Calls:
    """BP2: out = (wᵀ δ) ⊙ f′(z), and ⊙ mask/(1 − rate)."""
    w = k.memory.low_precision(e.theta).w[e.layer]
    product = Product(k.memory.fixed(e.a.scale), w, e.delta, k.memory.zero, e.out, trans_a=True)
    return [k.product(product), *_times_derivative(k, e.f, e.z, e.a, e.mask, e.out, bias)]


def _times_derivative(
    k: Kernels,
    f: Activation,
    z: Buffer,
    a: Buffer,
    mask: Buffer | None,
    delta: Buffer,
    bias: Gradient | None = None,
) -> Calls:
    """δ ← δ ⊙ f′(z), and ⊙ mask if there is one."""
    (n, m), module = delta.shape, layer_source(a.dtype)
    if f is SOFTMAX:
        masking = [] if mask is None else k.each("times", delta.size, mask, delta)
        return [*k.columns("times_softmax_jacobian", m, n, a, delta, module=module), *masking]
    landing, module = bias_landing(k, bias), module + activation_source(f)
    if mask is None:
        return k.rows("times_derivative", n, m, a, z, delta, *landing, module=module)
    return k.rows("times_derivative_and_mask", n, m, a, z, mask, delta, *landing, module=module)


def with_bias_gradient(k: Kernels, e: WithBiasGradient) -> Calls:
    """BP1 or BP2, and BP3."""
    if isinstance(e.maker, HiddenError):
        return hidden_error(k, e.maker, e.gradient)
    if isinstance(e.maker, ForwardError):
        return forward_error(k, e.maker, e.gradient)
    return output_error(k, e.maker, e.gradient)


def weight_gradient(k: Kernels, e: WeightGradient) -> Calls:
    """BP4: w ← α δ aᵀ + β w."""
    g = e.gradient
    alpha, beta, w = k.memory.cell(g.alpha.times(g.a.scale)), k.memory.cell(g.beta), g.into.w[g.layer]
    return [k.product(Product(alpha, g.delta, g.a, beta, w, trans_b=True))]


def gradient(k: Kernels, e: Gradient) -> Calls:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b]."""
    alpha, beta, b = k.memory.cell(e.alpha), k.memory.cell(e.beta), e.into.b[e.layer]
    bias = k.rows("bias_gradient", *e.delta.shape, e.delta, alpha, beta, b)
    return [*bias, *weight_gradient(k, WeightGradient(e))]


def norm_error(k: Kernels, e: NormError) -> Calls:
    """δ back through it, in place, and [γ β] of `into` ← α [Σ δ ẑ, Σ δ] + β [γ β]."""
    own = e.into.norm[e.layer]
    assert own
    factors = int(e.norm.by_batch), k.memory.cell(e.alpha), k.memory.cell(e.beta)
    places = e.norm.z, e.norm.gain, e.delta, own["gamma"], own["beta"]
    return k.rows("norm_error", *e.delta.shape, *factors, *places)


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {
    Drop: drop,
    Forward: forward,
    Affine: affine,
    Normalise: normalise,
    Activate: activate,
    OutputError: output_error,
    ForwardError: forward_error,
    ApplyWeights: apply_weights,
    HiddenError: hidden_error,
    WithBiasGradient: with_bias_gradient,
    WeightGradient: weight_gradient,
    Gradient: gradient,
    NormError: norm_error,
}
