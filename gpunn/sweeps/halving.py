"""Successive halving: train all candidates for a few epochs, the best of them for longer, and so on.

Jamieson and Talwalkar 2016, algorithm 1, with epochs as the resource.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Halving:
    """Drop all but the best 1/`factor` of the settings, again and again.

    The networks of settings that stay are trained further from where they were, not anew; after the last
    epoch they equal networks that were trained without a pause.

    Args:
        factor: of the settings in each round, one of `factor` stays; at least 2.
        first: the epochs of the first round; each round trains `factor` times as many in all. None divides
            `epochs` so that the last round has at most `factor` settings.

    Raises:
        ValueError: if a number is out of range.

    >>> gpunn.Halving(3).rounds(candidates=12, epochs=30)
    [3, 10, 30]
    """

    factor: int = 3
    first: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.factor, int | np.integer) or self.factor < 2:
            raise ValueError(f"halving: factor must be a whole number of at least 2, not {self.factor!r}")
        if self.first is not None and (not isinstance(self.first, int | np.integer) or self.first < 1):
            raise ValueError(f"halving: first must be a whole number of at least 1, not {self.first!r}")

    def rounds(self, candidates: int, epochs: int) -> list[int]:
        """Return the number of epochs at the end of each round; the last is `epochs`."""
        if self.first is None:
            times = int(math.log(candidates, self.factor) + 1e-9)
            ends = [epochs // self.factor**k for k in range(times, 0, -1)]
        else:
            ends, end = [], self.first
            while end < epochs:
                ends.append(end)
                end *= self.factor
        return [*dict.fromkeys(end for end in ends if 1 <= end < epochs), epochs]

    def stay(self, candidates: int) -> int:
        """Return how many of the candidates stay after a round."""
        return -(-candidates // self.factor)
