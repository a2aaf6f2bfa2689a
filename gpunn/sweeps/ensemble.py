"""An ensemble: several networks as one predictor, which averages their outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from gpunn.core.inputs import check_examples
from gpunn.files import ensemble as files
from gpunn.files import model
from gpunn.network import Network, classify, predicts_labels
from gpunn.training.loop import mean


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

    def evaluate(self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu") -> tuple[float, float | None]:
        """Return the mean loss of the mean outputs, and the accuracy; None if y is not classes.

        X and y are as in `Network.evaluate`, as are the errors.
        """
        net = self.networks[0]
        given = check_examples(X, y, net.sizes, net.cost)
        outputs, labels = self.forward(X, device=device), given.y.labels
        targets = given.y.targets if labels is None else _one_hot(labels, len(outputs))
        losses = np.empty_like(outputs)
        for call in net.cost.loss(outputs, np.asarray(targets, outputs.dtype, order="F"), losses):
            call()
        loss = mean(losses.sum(0))
        return loss, None if labels is None else mean(classify(outputs, net.cost.threshold) == labels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the networks to one safetensors file. An existing file is replaced only by a complete one.

        Raises what `Network.save` raises.

        >>> ensemble = gpunn.Ensemble([gpunn.Network([2, 3, 1], seed=seed) for seed in range(2)])
        >>> ensemble.save("ensemble.safetensors")
        >>> gpunn.Ensemble.load("ensemble.safetensors")
        Ensemble(2 networks: 2-3-1)
        """
        files.write(Path(path), [net.description() for net in self.networks])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ensemble:
        """Read a file that `save` wrote. The parameters are bitwise identical.

        Raises:
            ValueError: if the file does not exist, is damaged, or is not an ensemble; the message names it.
        """
        described = files.read(Path(path))
        with model.blame_file(Path(path)):
            return cls([Network.from_description(*each) for each in described])


def _one_hot(labels: np.ndarray, n: int) -> np.ndarray:
    """Return targets (n, m) of labels (m,); of a single output they are the labels themselves."""
    return labels[None] if n == 1 else np.equal(np.arange(n)[:, None], labels)


def _kind(net: Network) -> tuple[object, ...]:
    """Return what the networks of an ensemble must have in common."""
    table = str(net.meta.get("table"))
    return net.sizes[0], net.sizes[-1], net.layers[-1].f.name, net.cost.name, predicts_labels(net), table
