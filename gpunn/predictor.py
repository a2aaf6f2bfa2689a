"""The protocol of a predictor: a network, or an ensemble of networks."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost


class Predictor(Protocol):
    """The part of `Network` that `Ensemble` has as well: it predicts, is tested, and is saved.

    meta: what travels with the saved model, as JSON.
    """

    meta: dict[str, Any]

    @property
    def name(self) -> str:
        """The sizes as the book writes them, such as 784-30-10 or 8 × 784-30-10."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """n_0…n_L, the number of neurons in each layer."""

    @property
    def dropout(self) -> tuple[float, ...]:
        """The dropout rate of a[0]…a[L−1]."""

    @property
    def output_activation(self) -> Activation:
        """The activation of the output layer."""

    @property
    def cost(self) -> Cost:
        """The cost that was minimised."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the outputs."""

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""

    @property
    def learnt_labels(self) -> bool:
        """Whether it was last trained on class labels."""

    def forward(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """Return the outputs (n_L, m) for X (n_0, m)."""

    def predict(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """Return labels (m,), or the numbers (m,) or (n_L, m) of a regression."""

    def evaluate(self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu") -> tuple[float, float | None]:
        """Return the mean loss, and the accuracy if y is classes."""

    def examine(
        self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu"
    ) -> tuple[np.ndarray, float, float | None]:
        """Return outputs, loss and accuracy."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file."""
