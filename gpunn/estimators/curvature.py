"""L-BFGS's memory of the cost's curvature, kept from one minimisation to the next.

SciPy's minimiser begins without a memory. `Curvature.change_of_variables` hands it one: in the variables u of
θ = θ₀ + S u, where S Sᵀ is the memory's inverse Hessian, the cost has about the identity as its Hessian,
which is what the minimiser assumes at first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import LbfgsInvHessProduct

MEMORY = 10  # pairs, as in SciPy


@dataclass
class Curvature:
    """Pairs of a step s in θ and the change y of the gradient along it, the newest last."""

    s: list[np.ndarray] = field(default_factory=list)
    y: list[np.ndarray] = field(default_factory=list)

    def add(self, s: np.ndarray, y: np.ndarray) -> None:
        """Remember a pair; as in L-BFGS-B, a pair without positive curvature is left out."""
        if s @ y > np.finfo(np.float64).eps * (y @ y):
            self.s, self.y = [*self.s, s][-MEMORY:], [*self.y, y][-MEMORY:]

    def square_root(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return v ↦ S v, where the symmetric S is the square root of the inverse Hessian H.

        H = γ (I + Q (K − I) Qᵀ), where Q is an orthonormal basis of all s and y, γ = sᵀy / yᵀy of the newest
        pair, and K = Qᵀ H Q / γ. Hence S = √γ (I + Q (√K − I) Qᵀ).
        """
        s, y = np.array(self.s), np.array(self.y)
        scale = np.sqrt(s[-1] @ y[-1] / (y[-1] @ y[-1]))
        basis = np.linalg.qr(np.concatenate([s, y]).T)[0]
        inner = basis.T @ LbfgsInvHessProduct(s / scale, y * scale).matmat(basis)
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        change = vectors * (np.sqrt(np.maximum(values, 0)) - 1) @ vectors.T
        return lambda v: scale * (v + basis @ (change @ (basis.T @ v)))

    def change_of_variables(self, gradient: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Return v ↦ c S v, the map from u to θ − θ₀ and from ∇C of θ to that of u.

        The minimiser's first trial step has length 1 in u. With c = |S ∇C(θ₀)| that is the step −H ∇C(θ₀).
        """
        if not self.s:
            return lambda v: v
        root = self.square_root()
        c = float(np.linalg.norm(root(gradient))) or 1.0
        return lambda v: c * root(v)
