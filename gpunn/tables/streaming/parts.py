"""Divide rows by their number: to train on, to validate on, and to test on.

Whether a row is held out depends on its number and the random seed alone, so the division is the same in
every pass, whatever the order in which rows are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
DIVIDED, SAMPLED = 0, 1  # what a row's random number decides
GOLDEN = 0x9E3779B97F4A7C15
FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Parts:
    """The parts of a table.

    Attributes:
        seed: the random seed.
        held_out: the share of the rows to test on.
        validation: the share of all rows to validate on.
    """

    seed: int
    held_out: float = 0.0
    validation: float = 0.0

    def of(self, first: int, m: int) -> np.ndarray:
        """Return the part (m,) of each of m rows from `first` on: TRAIN, VALIDATION or TEST."""
        u = uniform(first, m, self.seed, DIVIDED)
        parts = np.full(m, TRAIN, np.int8)
        parts[u < self.held_out + self.validation] = VALIDATION
        parts[u < self.held_out] = TEST
        return parts

    def drawn(self, first: int, m: int) -> np.ndarray:
        """Return u (m,) in [0, 1) for m rows from `first` on; the rows with u < s are a random share s."""
        return uniform(first, m, self.seed, SAMPLED)


def uniform(first: int, m: int, seed: int, purpose: int) -> np.ndarray:
    """Return a random number in [0, 1) for each of m rows: splitmix64 (Steele et al. 2014) of its number."""
    start = _mix(_mix(seed & MASK) + purpose & MASK)
    x = np.arange(first, first + m, dtype=np.uint64)
    x *= np.uint64(GOLDEN)
    x += np.uint64(start)
    for shift, factor in zip((30, 27), FACTORS, strict=True):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)) * 2.0**-53


def _mix(x: int) -> int:
    """Return splitmix64 of one number."""
    x = x + GOLDEN & MASK
    for shift, factor in zip((30, 27), FACTORS, strict=True):
        x = (x ^ x >> shift) * factor & MASK
    return x ^ x >> 31
