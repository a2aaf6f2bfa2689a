"""The scalars of a step that follow the learning rate η.

Every one of them is p + q η: −η/m, 1 − ηλ, ημ, or a constant. They lie side by side in the backend's
memory, where the bound calls read them when they run, so a schedule never binds anything again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

CAPACITY = 64  # of different scalars in a step


@dataclass
class Rates:
    """p + q η, for as many (p, q) as were asked for.

    values: the backend's (CAPACITY,) numbers of its own type, as they are now; p, q (CAPACITY,) float64,
    of which the backend may keep copies.
    """

    eta: float
    values: Any
    known_to_backend: tuple[Any, ...] = ()
    p: np.ndarray = field(default_factory=lambda: np.zeros(CAPACITY))
    q: np.ndarray = field(default_factory=lambda: np.zeros(CAPACITY))
    known: dict[tuple[float, float], int] = field(default_factory=dict)

    def index(self, p: float, q: float) -> int:
        """Where p + q η is kept."""
        if (p, q) not in self.known:
            if len(self.known) == CAPACITY:
                raise ValueError(f"a step has more than {CAPACITY} different scalars")
            self.p[len(self.known)], self.q[len(self.known)] = p, q
            self.known[p, q] = len(self.known)
        return self.known[p, q]


@dataclass(frozen=True)
class Scalar:
    """One of them: p + q η."""

    rates: Rates
    p: float
    q: float

    @property
    def index(self) -> int:
        return self.rates.index(self.p, self.q)

    def times(self, factor: float) -> Scalar:
        """factor · (p + q η)."""
        return Scalar(self.rates, self.p * factor, self.q * factor)
