"""The parts of a network, as PyTorch's and scikit-learn's networks are taken apart into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpunn.core.layers import Dense


@dataclass(frozen=True)
class Parts:
    """Everything in a trained network except its cost.

    Attributes:
        n_in: number of input features.
        layers: layers 1…L.
        arrays: w[l] (n_l, n_{l-1}) and b[l] (n_l, 1) as `w1`, `b1`, …; for batch-normalised layers also
            `gamma1`, `beta1`, `mean1` and `variance1` (n_l, 1).
        input_dropout: fraction of the inputs dropped in training.
        meta: JSON that travels with the network, such as the names of its classes.
    """

    n_in: int
    layers: list[Dense]
    arrays: dict[str, np.ndarray]
    input_dropout: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the weights."""
        return self.arrays["w1"].dtype
