"""The products of the emulated device, computed by NumPy with the numbers of the precision."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import BF16, Buffer, Product
from gpunn.functions.calls import Call


def bound_product(product: Product, precision: str, network: int) -> Call:
    """Bind the product of one network of a stack."""
    by, left, right, keep, out = (_view(x.of(network)) for x in product.buffers[:5])
    bias = _view(product.bias.of(network)) if product.bias else np.zeros(1, out.dtype)
    bits = product.bits and _bits(product.bits.of(network), len(out))
    left, right = left.T if product.trans_a else left, right.T if product.trans_b else right
    assert left.shape[1] == right.shape[0]
    assert out.shape == (left.shape[0], right.shape[1])

    def on_the_device() -> None:
        x = by * (read(left, precision) @ read(right, precision)) + (keep * out if keep else 0)
        out[:] = written(finished(x + read(bias).reshape(-1, 1), product.relu, bits), out.dtype)

    return on_the_device


def read(x: np.ndarray, precision: str = "") -> np.ndarray:
    """Convert to what a product reads: bf16 bits to floats; for tf32, floats with a fraction of 10 bits."""
    if x.dtype == BF16:
        return (x.astype(np.uint32) << 16).view(np.float32)
    if precision == "tf32":
        return ((x.view(np.uint32) + (1 << 12)) >> 13 << 13).view(np.float32)
    return x


def written(x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Convert numbers to a memory format; bf16 rounds to nearest, ties to even."""
    if dtype != BF16:
        return x
    bits = x.astype(np.float32).view(np.uint32)
    return np.where(np.isnan(x), 0x7FFF, (bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(BF16)


def finished(x: np.ndarray, relu: bool, bits: np.ndarray | None) -> np.ndarray:
    """Apply max(0, ·) and write its bits, or apply its derivative by the bits."""
    if bits is not None and relu:
        bits[:] = np.packbits(x > 0, axis=0, bitorder="little")
    elif bits is not None:
        x = x * np.unpackbits(bits, axis=0, count=len(x), bitorder="little")
    return np.maximum(x, 0) if relu else x


def _bits(buffer: Buffer, n: int) -> np.ndarray:
    """View a matrix of bits for n rows; cuBLASLt wants its columns on whole 128 bits."""
    assert (buffer.dtype, buffer.shape[0]) == (np.uint8, -(-n // 8))
    assert (8 * buffer.ld % 128, buffer.pointer % 16) == (0, 0), "bits out of alignment"
    return _view(buffer)


def _view(buffer: Buffer) -> np.ndarray:
    """View the buffer's elements without keeping them alive."""
    kinds = {"float64": ctypes.c_double, "uint16": ctypes.c_uint16, "uint8": ctypes.c_uint8}
    kind = kinds.get(buffer.dtype.name, ctypes.c_float)
    flat = np.ctypeslib.as_array(ctypes.cast(buffer.pointer, ctypes.POINTER(kind)), (buffer.length,))
    return flat.reshape((buffer.ld, *buffer.shape[1:]), order="F")[: buffer.shape[0]]
