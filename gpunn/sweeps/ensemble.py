"""An ensemble: several networks as one predictor, which averages their outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gpunn.network import Network, classify, predicts_labels


class Ensemble:
    """Networks with the same inputs and outputs, as one predictor: the mean of their outputs.

    The outputs are probabilities, or the numbers of a regression.

    Args:
        networks: the networks, at least one.

    Raises:
        ValueError: if there is no network, or they differ in inputs, outputs, output activation or cost.

    >>> networks = [gpunn.Network(2, [gpunn.Dense(3, "softmax")], seed=seed) for seed in range(5)]
    >>> ensemble = gpunn.Ensemble(networks)
    >>> X = np.eye(2)
    >>> np.allclose(ensemble.forward(X), sum(net.forward(X) for net in networks) / 5)
    True
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        if len({_kind(net) for net in networks}) > 1:
            raise ValueError("the networks of an ensemble must have the same inputs, outputs and cost")
        self.networks = tuple(networks)

    def __len__(self) -> int:
        return len(self.networks)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(net.name for net in self.networks))
        return f"Ensemble({len(self)} networks: {names})"

    def forward(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """Return the mean outputs (n_L, m) for X (n_0, m). Raises what `Network.forward` raises."""
        outputs = self.networks[0].forward(X, device=device)
        for net in self.networks[1:]:
            outputs += net.forward(X, device=device)
        outputs /= len(self)
        return outputs

    def predict(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """Return class labels (m,), or the numbers (m,) or (n_L, m) of a regression, as `Network.predict`."""
        outputs, net = self.forward(X, device=device), self.networks[0]
        if predicts_labels(net):
            return classify(outputs, net.cost.threshold)
        return outputs[0] if len(outputs) == 1 else outputs


def _kind(net: Network) -> tuple[object, ...]:
    """Return what the networks of an ensemble must have in common."""
    return net.sizes[0], net.sizes[-1], net.layers[-1].f.name, net.cost.name, predicts_labels(net)
