"""Scalars of a training step that follow the learning rate η.

Every scalar is p + q η: −η/m, 1 − ηλ, ημ, or a constant. They lie side by side in the backend's memory,
where the bound calls read them each time they run, so a schedule never needs to bind anything again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

CAPACITY = 64  # different scalars in a step


@dataclass
class StepScalars:
    """The values p + q η of every pair (p, q) that a step has asked for.

    Attributes:
        eta: η at the start.
        values: (CAPACITY,) current values, in the backend's memory and dtype.
        on_device: the backend's own copies of p and q, if it keeps any.
        p, q: (CAPACITY,) float64.
        known: the index of each pair.
        cells: the backend's view of each value that an equation reads, by index.
    """

    eta: float
    values: Any
    on_device: tuple[Any, ...] = ()
    p: np.ndarray = field(default_factory=lambda: np.zeros(CAPACITY))
    q: np.ndarray = field(default_factory=lambda: np.zeros(CAPACITY))
    known: dict[tuple[float, float], int] = field(default_factory=dict)
    cells: dict[int, Any] = field(default_factory=dict)

    def index(self, p: float, q: float) -> int:
        """Return the index at which p + q η is kept. Raises ValueError if there is no room left."""
        if (p, q) not in self.known:
            if len(self.known) == CAPACITY:
                raise ValueError(f"a step has more than {CAPACITY} different scalars")
            self.p[len(self.known)], self.q[len(self.known)] = p, q
            self.known[p, q] = len(self.known)
        return self.known[p, q]


@dataclass(frozen=True)
class Scalar:
    """The scalar p + q η of a step."""

    scalars: StepScalars
    p: float
    q: float = 0.0

    @property
    def index(self) -> int:
        return self.scalars.index(self.p, self.q)

    @property
    def value(self) -> float:
        """The value at the starting learning rate."""
        return self.p + self.q * self.scalars.eta

    def times(self, factor: float) -> Scalar:
        """Return factor · (p + q η)."""
        if factor == 1:
            return self
        return Scalar(self.scalars, self.p * factor, self.q * factor)

    def __str__(self) -> str:
        """Write p + q η as a factor, such as "(1 − 0.001 η)" or "−η".

        >>> str(Scalar(None, 1, -0.001)), str(Scalar(None, 0, -1)), str(Scalar(None, 0.5, 0))
        ('(1 − 0.001 η)', '−η', '0.5')
        """
        p, q = _signed(self.p), "η" if abs(self.q) == 1 else f"{abs(self.q):g} η"
        if not self.q:
            return p
        sign = "−" if self.q < 0 else ""
        return f"({p} {sign or '+'} {q})" if self.p else sign + q


def _signed(x: float) -> str:
    return f"{x:g}".replace("-", "−")
