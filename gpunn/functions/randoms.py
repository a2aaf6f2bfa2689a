"""Counter-based random numbers, the same on every backend: a hash of (key, step, layer, element).

The hash is lowbias32 (Chris Wellons, "Prospecting for hash functions", 2018): two multiplications and three
shifts of 32 bits. Each hash serves two neighbouring elements with 16 bits each.
"""

from __future__ import annotations

import numpy as np

SHIFTS, FACTORS = (16, 15, 16), (0x7FEB352D, 0x846CA68B)
MASK = 0xFFFFFFFF
LANE = 1 << 16
LAYERS = 1 << 10  # more than any network has


def mix(x: int) -> int:
    """Hash one 32-bit number."""
    x ^= x >> SHIFTS[0]
    x = x * FACTORS[0] & MASK
    x ^= x >> SHIFTS[1]
    x = x * FACTORS[1] & MASK
    return x ^ x >> SHIFTS[2]


def mix_all(x: np.ndarray, s: np.ndarray) -> None:
    """Hash an array of uint32 in place; s is scratch of the same shape and dtype."""
    for shift, factor in zip(SHIFTS, (*FACTORS, None), strict=True):
        np.right_shift(x, np.uint32(shift), s)
        np.bitwise_xor(x, s, x)
        if factor is not None:
            np.multiply(x, np.uint32(factor), x)


def stream(key: int, step: int, layer: int) -> int:
    """The stream of one layer in one step: the number that sets its random numbers apart."""
    return mix(key ^ mix((step * LAYERS + layer) & MASK))


def streams(key: int, steps: np.ndarray, layer: int) -> np.ndarray:
    """`stream` for an array of steps, as uint32."""
    x = (steps * LAYERS + layer & MASK).astype(np.uint32)
    s = np.empty_like(x)
    mix_all(x, s)
    x ^= np.uint32(key)
    mix_all(x, s)
    return x


def uniform(key: int, steps: np.ndarray, layer: int, n: int) -> np.ndarray:
    """Uniform numbers between −1 and 1: n for each of m steps (n, m)."""
    bits = np.arange((n + 1) // 2, dtype=np.uint32)
    mix_all(bits, np.empty_like(bits))
    bits = bits[:, None] ^ streams(key, steps, layer)
    mix_all(bits, np.empty_like(bits))
    lanes = np.stack([bits & (LANE - 1), bits >> 16], axis=1).reshape(-1, len(steps))[:n]
    return (2 * lanes + 1) / LANE - 1


def threshold(rate: float) -> int:
    """The number of 16 bits below which an element is dropped."""
    return round(rate * LANE)


def mask(n: int, m: int, rate: float, key: int, step: int, layer: int) -> np.ndarray:
    """The dropout mask of a[layer] (n, m) in a step: False (dropped) with probability `rate`, else True."""
    bits = np.arange((n * m + 1) // 2, dtype=np.uint32)
    scratch = np.empty_like(bits)
    mix_all(bits, scratch)
    bits ^= np.uint32(stream(key, step, layer))
    mix_all(bits, scratch)
    lanes = np.stack([bits & (LANE - 1), bits >> 16], axis=1).ravel()[: n * m]
    return (lanes >= threshold(rate)).reshape((n, m), order="F")
