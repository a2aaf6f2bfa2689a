"""An ensemble: several networks as one predictor, which averages their outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpunn.core.inputs import check_examples
from gpunn.files import ensemble as files
from gpunn.files import model
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost
from gpunn.network import Network, classify, predicts_labels
from gpunn.predictor import Predictor
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
        self._meta = _common([net.meta for net in networks])

    @property
    def meta(self) -> dict[str, Any]:
        """The entries that the networks' `meta` have in common. Setting it changes every network's `meta`."""
        return self._meta

    @meta.setter
    def meta(self, meta: dict[str, Any]) -> None:
        for net in self.networks:
            net.meta = {**meta, **self._own_meta(net)}
        self._meta = meta

    def _own_meta(self, net: Network) -> dict[str, Any]:
        """Return what the meta of a network has beside the common one."""
        return {k: v for k, v in net.meta.items() if k not in self._meta or self._meta[k] != v}

    @property
    def name(self) -> str:
        """The number of networks and their sizes, such as 8 × 784-30-10."""
        return f"{len(self)} × {', '.join(dict.fromkeys(net.name for net in self.networks))}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """n_0…n_L of the first network; all of them have its n_0 and n_L."""
        return self.networks[0].sizes

    @property
    def dropout(self) -> tuple[float, ...]:
        """The dropout rates of the first network."""
        return self.networks[0].dropout

    @property
    def output_activation(self) -> Activation:
        """The activation of the output layers."""
        return self.networks[0].output_activation

    @property
    def cost(self) -> Cost:
        """The cost of the networks."""
        return self.networks[0].cost

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the outputs."""
        return self.networks[0].dtype

    @property
    def parameters(self) -> int:
        """The number of weights and biases of all the networks."""
        return sum(net.parameters for net in self.networks)

    @property
    def learnt_labels(self) -> bool:
        """Whether the networks were last trained on class labels."""
        return self.networks[0].learnt_labels

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
        outputs = self.forward(X, device=device)
        if predicts_labels(self):
            return classify(outputs, self.cost.threshold)
        return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu") -> tuple[float, float | None]:
        """Return the mean loss of the mean outputs, and the accuracy; None if y is not classes.

        X and y are as in `Network.evaluate`, as are the errors.
        """
        return self.examine(X, y, device=device)[1:]

    def examine(
        self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu"
    ) -> tuple[np.ndarray, float, float | None]:
        """Return mean outputs (n_L, m), loss and accuracy: `forward` and `evaluate` in one pass."""
        given = check_examples(X, y, self.sizes, self.cost)
        outputs, labels = self.forward(X, device=device), given.y.labels
        targets = given.y.targets if labels is None else _one_hot(labels, len(outputs))
        losses = np.empty_like(outputs)
        for call in self.cost.loss(outputs, np.asarray(targets, outputs.dtype, order="F"), losses):
            call()
        loss = mean(losses.sum(0))
        accuracy = None if labels is None else mean(classify(outputs, self.cost.threshold) == labels)
        return outputs, loss, accuracy

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the networks to one safetensors file. An existing file is replaced only by a complete one.

        Raises what `Network.save` raises.

        >>> ensemble = gpunn.Ensemble([gpunn.Network([2, 3, 1], seed=seed) for seed in range(2)])
        >>> ensemble.save("ensemble.safetensors")
        >>> gpunn.Ensemble.load("ensemble.safetensors")
        Ensemble(2 networks: 2-3-1)
        """
        described = [net.description() for net in self.networks]
        meta = _common([each for _, each, _ in described])
        own = [{k: v for k, v in each.items() if k not in meta} for _, each, _ in described]
        networks = [(net, mine, a) for (net, _, a), mine in zip(described, own, strict=True)]
        files.write(Path(path), networks, meta)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ensemble:
        """Read a file that `save` wrote. The parameters are bitwise identical.

        A folder means the `model.safetensors` in it.

        Raises:
            ValueError: if the file does not exist, is damaged, or is not an ensemble; the message names it.
        """
        described = files.read(Path(path))
        with model.blame_file(Path(path)):
            return cls([Network.from_description(*each) for each in described])


def load(path: str | os.PathLike[str]) -> Network | Ensemble:
    """Read a model file of a network or an ensemble. Raises what `Network.load` raises."""
    return Ensemble.load(path) if files.is_ensemble(Path(path)) else Network.load(path)


def networks_of(predictor: Predictor) -> tuple[Network, ...]:
    """Return the networks of an ensemble, or the network itself."""
    if isinstance(predictor, Ensemble):
        return predictor.networks
    assert isinstance(predictor, Network)
    return (predictor,)


def _common(metas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the items that all of these have."""
    first, *others = metas
    return {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}


def _one_hot(labels: np.ndarray, n: int) -> np.ndarray:
    """Return targets (n, m) of labels (m,); of a single output they are the labels themselves."""
    return labels[None] if n == 1 else np.equal(np.arange(n)[:, None], labels)


def _kind(net: Network) -> tuple[object, ...]:
    """Return what the networks of an ensemble must have in common."""
    table = str(net.meta.get("table"))
    return net.sizes[0], net.sizes[-1], net.output_activation.name, net.cost.name, predicts_labels(net), table
