"""Feedforward and back-propagation on CUDA: one function lowers an equation to kernels and products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gpunn.backends.cuda import communication, gradients
from gpunn.backends.cuda.device import Buffer, Product
from gpunn.backends.cuda.fusing import ForwardError, ForwardWithBits, HiddenErrorByBits
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
from gpunn.functions.activations import Activation
from gpunn.functions.activations.outputs import IDENTITY, SOFTMAX
from gpunn.functions.activations.rectifiers import RELU
from gpunn.functions.calls import Calls

IN_THE_PRODUCT = (IDENTITY, RELU)  # activations that a product with bias can apply, too

# feedforward


def drop(k: Kernels, e: Drop) -> Calls:
    """mask ← 0 or 1 at random; a ← a ⊙ mask."""
    drawn = e.first * e.a.shape[0], randoms.threshold(e.rate), e.layer, e.p.key, e.p.step
    return k.elements("drop", *e.a.shape, e.a.ld, *drawn, e.mask, e.a)


def forward(k: Kernels, e: Forward) -> Calls:
    """z = w a + b, out = f(z)."""
    return _forward(k, e.theta, e.layer, e.f, e.a, e.z, e.out)


def forward_with_bits(k: Kernels, e: ForwardWithBits) -> Calls:
    """z = w a + b, out = max(0, z), and where it is above 0, if products are to apply f′."""
    if not e.bits.chosen:
        e.bits.buffer, e.bits.chosen = choose_bits(k, e), True
    return [k.product(_product_that_writes(k, e, e.bits.buffer))] if e.bits.buffer else forward(k, e.forward)


def choose_bits(k: Kernels, e: ForwardWithBits) -> Buffer | None:
    """Allocate the bits if products can apply f′ and are faster than a kernel; else return None.

    Trials may write to a, δ and the bits, since nothing in them is needed yet.
    """
    bits, (n, m) = k.memory.bits(*e.forward.out.shape), e.forward.out.shape
    products = _product_that_writes(k, e, bits), replace(_error_product(k, e.error), bits=bits)
    calls = [call for p in products if (call := k.try_product(p))]
    if len(calls) < len(products):
        return None
    task = f"f′ ({n}, {m}) from {e.forward.a.shape[0]} to {e.error.delta.shape[0]}, {k.memory.precision}"
    ways: dict[str, Callable[[], Calls]] = {
        "in the products": lambda: calls,
        "by a kernel": lambda: [*forward(k, e.forward), *hidden_error(k, e.error)],
    }
    return bits if k.device.fastest(task + k.times, ways) == "in the products" else None


def _product_that_writes(k: Kernels, e: ForwardWithBits, bits: Buffer) -> Product:
    """z = w a + b, out = max(0, z), and the bits."""
    own = e.forward
    return replace(_whole_product(k, own.theta, own.layer, RELU, own.a, own.out), bits=bits)


def affine(k: Kernels, e: Affine) -> Calls:
    """out = w a + b."""
    return _forward(k, e.theta, e.layer, IDENTITY, e.a, e.out, e.out)


def _forward(
    k: Kernels, theta: Parameters, layer: int, f: Activation, a: Buffer, z: Buffer, out: Buffer
) -> Calls:
    product = _affine_product(k, theta, layer, a, z)
    if f in IN_THE_PRODUCT and z.pointer == out.pointer:
        whole = _whole_product(k, theta, layer, f, a, out)
        if call := k.try_product(whole):
            return [call]
    (n, m), b, module = z.shape, theta.b[layer], layer_source(z.dtype)
    if f is SOFTMAX:
        return [k.product(product), *k.columns("forward_softmax", m, n, z.ld, b, z, out, module=module)]
    module += activation_source(f)
    return [k.product(product), *k.packs("forward", n, m, z.ld, b, z, out, module=module)]


def _affine_product(k: Kernels, theta: Parameters, layer: int, a: Buffer, z: Buffer) -> Product:
    """z = w a."""
    w = k.memory.low_precision(theta).w[layer]
    return Product(k.memory.fixed(a.scale), w.rows(z.shape[0]), a.rows(w.shape[1]), k.memory.zero, z)


def _whole_product(
    k: Kernels, theta: Parameters, layer: int, f: Activation, a: Buffer, out: Buffer
) -> Product:
    """out = f(w a + b)."""
    own = theta if out.dtype == k.memory.dtype else k.memory.low_precision(theta)
    rows = own.w[layer].shape[0]  # with the padding of the copy in low precision
    product = _affine_product(k, theta, layer, a, out.rows(rows))
    return replace(product, bias=own.b[layer], relu=f is RELU)


def normalise(k: Kernels, e: Normalise) -> Calls:
    """z ← γ (z − μ)/√(σ² + ε) + β, in place."""
    if e.norm.by_batch and e.share.ranks:
        return communication.normalise(k, e, e.share.ranks)
    own = e.theta.norm[e.layer]
    assert own
    columns = (own[name] for name in NORM_COLUMNS)
    settings = int(e.norm.by_batch), NORM_EPSILON, NORM_MOMENTUM
    return k.rows("normalise", *e.z.shape, e.z.ld, *settings, *columns, e.z, e.norm.z, e.norm.gain)


def activate(k: Kernels, e: Activate) -> Calls:
    """out = f(z)."""
    if e.f is SOFTMAX:
        (n, m), no_bias = e.z.shape, k.memory.put(np.zeros(e.z.shape[0]))
        module = layer_source(e.z.dtype)
        return k.columns("forward_softmax", m, n, e.z.ld, no_bias, e.z, e.out, module=module)
    return k.packs("activate", *e.out.shape, e.out.ld, e.z, e.out, module=activation_source(e.f))


# back-propagation


def output_error(k: Kernels, e: OutputError) -> Calls:
    """BP1: out = ∇C ⊙ f′(z)."""
    (n, m), f, cost, a, y, out = e.out.shape, e.f, e.cost, e.a, e.y, e.out
    if f is SOFTMAX and cost.pairs(f):
        return k.elements("difference", n, m, out.ld, a, y, out)
    if cost.cuda_columns:
        gradient = k.columns(cost.cuda_columns[1], m, n, out.ld, a, y, out, *cost.cuda_parameters)
        return [*gradient, *_times_derivative(k, f, e.z, a, None, out)]
    calls = k.elements("output_error", n, m, out.ld, a, y, e.z, out, module=cost_source(cost, f))
    return calls + _times_derivative(k, f, e.z, a, None, out) if f is SOFTMAX else calls


def forward_error(k: Kernels, e: ForwardError) -> Calls:
    """z = w a + b, out = f(z), δ = ∇C ⊙ f′(z)."""
    theta, layer, z, a, error = e.forward.theta, e.forward.layer, e.forward.z, e.forward.out, e.error
    (n, m), product = z.shape, _affine_product(k, theta, layer, e.forward.a, z)
    places = error.out.ld, theta.b[layer], error.y, z, a, error.out
    if error.f is SOFTMAX:
        return [k.product(product), *k.columns("forward_softmax_error", m, n, *places)]
    module = cost_source(error.cost, error.f)
    return [k.product(product), *k.elements("forward_output_error", n, m, *places, module=module)]


def apply_weights(k: Kernels, e: ApplyWeights) -> Calls:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    return k.elements("apply_weights", *e.delta.shape, e.delta.ld, e.weights, e.delta)


def hidden_error(k: Kernels, e: HiddenError) -> Calls:
    """BP2: out = (wᵀ δ) ⊙ f′(z), and ⊙ mask/(1 − rate)."""
    return [k.product(_error_product(k, e)), *_times_derivative(k, e.f, e.z, e.a, e.mask, e.out)]


def hidden_error_by_bits(k: Kernels, e: HiddenErrorByBits) -> Calls:
    """BP2: out = (wᵀ δ) ⊙ f′(z), in one product if there are bits."""
    if e.bits.buffer:
        return [k.product(replace(_error_product(k, e.error), bits=e.bits.buffer))]
    return hidden_error(k, e.error)


def _error_product(k: Kernels, e: HiddenError) -> Product:
    """out = wᵀ δ."""
    w = k.memory.low_precision(e.theta).w[e.layer]
    delta, out = e.delta.rows(w.shape[0]), e.out.rows(w.shape[1])
    return Product(k.memory.fixed(e.a.scale), w, delta, k.memory.zero, out, trans_a=True)


def _times_derivative(
    k: Kernels, f: Activation, z: Buffer, a: Buffer, mask: Buffer | None, delta: Buffer
) -> Calls:
    """δ ← δ ⊙ f′(z), and ⊙ mask if there is one."""
    (n, m), module = delta.shape, layer_source(a.dtype)
    if f is SOFTMAX and mask is not None:  # z ← all of a; then the mask, and the Jacobian
        no_bias = k.memory.put(np.zeros(n))
        whole = k.columns("forward_softmax", m, n, z.ld, no_bias, z, z, module=module)
        masking = k.each("times", delta.length, mask, delta)
        return [*whole, *masking, *_times_derivative(k, f, z, z, None, delta)]
    if f is SOFTMAX:
        return k.columns("times_softmax_jacobian", m, n, a.ld, delta.ld, a, delta, module=module)
    places = a.ld, delta.ld, a, z, *((0, delta) if mask is None else (1, mask)), delta
    return k.packs("times_derivative", n, m, *places, module=module + activation_source(f))


def norm_error(k: Kernels, e: NormError) -> Calls:
    """δ back through it, in place, and [γ β] of `into` ← α [Σ δ ẑ, Σ δ] + β [γ β]."""
    if e.norm.by_batch and e.share.ranks:
        return communication.norm_error(k, e, e.share.ranks)
    own = e.into.norm[e.layer]
    assert own
    factors = int(e.norm.by_batch), k.memory.cell(e.alpha), k.memory.cell(e.beta)
    places = e.norm.z, e.norm.gain, e.delta, own["gamma"], own["beta"]
    return k.rows("norm_error", *e.delta.shape, e.delta.ld, *factors, *places)


LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {
    Drop: drop,
    Forward: forward,
    Affine: affine,
    Normalise: normalise,
    Activate: activate,
    OutputError: output_error,
    ForwardError: forward_error,
    ForwardWithBits: forward_with_bits,
    HiddenErrorByBits: hidden_error_by_bits,
    ApplyWeights: apply_weights,
    HiddenError: hidden_error,
    Gradient: gradients.gradient,
    NormError: norm_error,
}
