"""The cost of all examples at once and its gradient, for SciPy's minimisers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gpunn import backends, trainer
from gpunn.inputs import check_weights, check_X
from gpunn.network import Network
from gpunn.optimizers import Collect
from gpunn.parameters import Parameters


class Objective:
    """θ ↦ (C, ∇C) with C = the mean cost of the examples + (l2/2) Σ w², bound once and called many times.

    X (n_0, m), y labels (m,) or targets (n_L, m), sample_weight (m,): as `Network.fit` takes them. θ and ∇C
    are vectors in float64 in the layout of `net.theta`. The network itself is left as it is, and it needs
    to be one without dropout and batch normalisation, whose cost would not be a function of θ.
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
        X = check_X(X, net.sizes[0])
        m = X.shape[1]
        y_ = net._check_y(y, m)
        weights = check_weights(sample_weight, None, y_, m, net.sizes[-1])
        self.model = net._on(backends.choose(device, net.dtype, precision), y_)
        self.be, self.p, self.l2 = self.model.be, self.model.be.new_pass(m), l2
        self.collected = Collect(l2=l2).bind(self.be, net.layout, self.model.theta)
        examples = self.be.examples(X, y_.labels, y_.targets, weights=weights)
        self.order = np.arange(m)
        self.stages = trainer.bind(self.model, examples, self.p, m, m, update=self.collected)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        self.be.restore(theta.astype(self.be.dtype), into=self.model.theta.flat)
        self.be.begin(self.p, self.order)
        trainer.run(self.stages)
        losses, _ = self.be.results(self.p)
        gradient = self.be.download(self.collected.g.flat).astype(np.float64)
        return trainer.mean(losses) + self.penalty(theta), gradient

    def penalty(self, theta: np.ndarray) -> float:
        """(l2/2) Σ w²."""
        weights = Parameters(self.model.layout, theta, self.be.dtype.itemsize).w[1:]
        return self.l2 / 2 * sum(float(np.vdot(w, w)) for w in weights)
