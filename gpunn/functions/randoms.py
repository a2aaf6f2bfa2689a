"""Random numbers by counting, the same on every backend: a hash of (key, step, layer, element).

The hash is lowbias32 (Chris Wellons, "Prospecting for hash functions", 2018): two multiplications and
three shifts of 32 bits. Each of its results serves two neighbouring elements, 16 bits each.
"""

from __future__ import annotations

import numpy as np

SHIFTS, FACTORS = (16, 15, 16), (0x7FEB352D, 0x846CA68B)
MASK = 0xFFFFFFFF
LANE = 1 << 16
LAYERS = 1 << 10  # more than any network has


def mix(x: int) -> int:
    """The hash of one 32-bit number."""
    x ^= x >> SHIFTS[0]
    x = x * FACTORS[0] & MASK
    x ^= x >> SHIFTS[1]
    x = x * FACTORS[1] & MASK
    return x ^ x >> SHIFTS[2]


def mix_all(x: np.ndarray, s: np.ndarray) -> None:
    """The same for an array of uint32, in place; s is scratch like it."""
    for shift, factor in zip(SHIFTS, (*FACTORS, None), strict=True):
        np.right_shift(x, np.uint32(shift), s)
        np.bitwise_xor(x, s, x)
        if factor is not None:
            np.multiply(x, np.uint32(factor), x)


def stream(key: int, step: int, layer: int) -> int:
    """What sets one layer's numbers in one step apart from all others."""
    return mix(key ^ mix((step * LAYERS + layer) & MASK))


def streams(key: int, steps: np.ndarray, layer: int) -> np.ndarray:
    """The same for many steps, as uint32."""
    x = (steps * LAYERS + layer & MASK).astype(np.uint32)
    s = np.empty_like(x)
    mix_all(x, s)
    x ^= np.uint32(key)
    mix_all(x, s)
    return x


def uniform(key: int, steps: np.ndarray, layer: int, n: int) -> np.ndarray:
    """(n, m): n numbers between −1 and 1 for each of m steps."""
    bits = np.arange((n + 1) // 2, dtype=np.uint32)
    mix_all(bits, np.empty_like(bits))
    bits = bits[:, None] ^ streams(key, steps, layer)
    mix_all(bits, np.empty_like(bits))
    lanes = np.stack([bits & (LANE - 1), bits >> 16], axis=1).reshape(-1, len(steps))[:n]
    return (2 * lanes + 1) / LANE - 1


def threshold(rate: float) -> int:
    """An element is dropped if its 16 bits are below this."""
    return round(rate * LANE)


def mask(n: int, m: int, rate: float, key: int, step: int, layer: int) -> np.ndarray:
    """Which elements of a[layer] (n, m) are kept in that step: 0 with probability `rate`, else 1."""
    bits = np.arange((n * m + 1) // 2, dtype=np.uint32)
    scratch = np.empty_like(bits)
    mix_all(bits, scratch)
    bits ^= np.uint32(stream(key, step, layer))
    mix_all(bits, scratch)
    lanes = np.stack([bits & (LANE - 1), bits >> 16], axis=1).ravel()[: n * m]
    return (lanes >= threshold(rate)).reshape((n, m), order="F")
