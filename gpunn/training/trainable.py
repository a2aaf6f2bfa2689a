"""The protocol of a network that can be trained, so that training does not import `Network`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gpunn.core.backend import Backend
from gpunn.core.inputs import Targets
from gpunn.core.layers import Dense
from gpunn.core.parameters import Layout
from gpunn.core.plan import BoundModel
from gpunn.functions.costs import Cost


class Trainable(Protocol):
    """The part of `Network` that training uses."""

    cost: Cost
    dtype: np.dtype[Any]
    layout: Layout
    learnt_labels: bool
    meta: dict[str, Any]
    rng: np.random.Generator
    seed: int | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """n_0…n_L, the number of neurons in each layer."""

    @property
    def layers(self) -> tuple[Dense, ...]:
        """Layers 1…L."""

    @property
    def dropout(self) -> tuple[float, ...]:
        """The dropout rate of a[0]…a[L−1]."""

    @property
    def theta(self) -> np.ndarray:
        """All parameters as one vector, which training overwrites."""

    def bind(self, be: Backend, y: Targets | None = None) -> BoundModel:
        """Copy the network to a backend, to be trained on y."""
