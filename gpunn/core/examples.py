"""Examples in a backend's memory, and passes over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Examples:
    """A data set in the backend's memory: X (n_0, m), and either labels (m,) or targets (n_L, m).

    Attributes:
        smoothing: ε, by which the labels' targets are smoothed.
        weights: (1, m) weights of the examples, if any.
    """

    X: Any
    labels: Any = None
    targets: Any = None
    smoothing: float = 0.0
    weights: Any = None

    def on_and_off(self, n_out: int) -> tuple[float, float]:
        """Return the target of an example's class and of the other classes: (1 − ε) one-hot + ε / classes.

        Szegedy et al. 2016, section 7. A single output has two classes.
        """
        epsilon = float(self.smoothing)
        share = epsilon / max(n_out, 2)
        return 1 - epsilon + share, share


@dataclass
class Pass:
    """One pass over m examples.

    Attributes:
        order: the examples' indices, in the order of the pass.
        places: the place of each of them in the pass of all ranks, on which its distortion depends.
        losses, hits: of each example, in that order.
        position: how many examples the pass has come.
        step: how many steps.
        etas: the learning rate of each step, under a schedule.
        key: the key of the pass's random numbers.
    """

    order: Any
    places: Any
    losses: Any
    hits: Any
    position: Any
    step: Any
    etas: Any
    key: Any
