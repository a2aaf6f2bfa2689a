"""The mean cost of all examples and its gradient, in the form that SciPy's minimisers take."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpunn import backends
from gpunn.core.inputs import check_examples
from gpunn.core.optimizers import Collect
from gpunn.core.parameters import Parameters
from gpunn.core.plan import Plan
from gpunn.network import Network
from gpunn.training.loop import mean


class Objective:
    """θ ↦ (C, ∇C) with C = mean cost of the examples + (l2/2) Σ w²; bound once and called many times.

    X (n_0, m), y (labels (m,) or targets (n_L, m)) and sample_weight (m,) are as in `Network.fit`. θ and
    ∇C are float64 vectors in the layout of `net.theta`. The network itself is not changed. It must have
    neither dropout nor batch normalisation, because its cost would not be a function of θ alone.
    """

    def __init__(
        self,
        net: Network,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        l2: float = 0.0,
        device: str = "auto",
        precision: str | None = None,
    ) -> None:
        given = check_examples(X, y, net.sizes, net.cost, sample_weight)
        be, m = backends.choose(device, net.dtype, precision), given.X.shape[1]
        self.be, self.model, self.l2 = be, net.bind(be, given.y), l2
        self.collected = Collect(l2=l2).bind(be, self.model.theta)
        self.round = Plan(self.model, given.load(be), m, m, update=self.collected)
        self.order = np.arange(m)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        self.be.memory.restore(theta.astype(self.be.memory.dtype), into=self.model.theta.flat)
        losses, _ = self.round(self.order)
        gradient = self.be.memory.download(self.collected.g.flat).astype(np.float64)
        return mean(losses) + self.penalty(theta), gradient

    def penalty(self, theta: np.ndarray) -> float:
        """(l2/2) Σ w²."""
        weights = Parameters(self.model.theta.layout, theta, self.be.memory.dtype.itemsize).w[1:]
        return self.l2 / 2 * sum(float(np.vdot(w, w)) for w in weights)
