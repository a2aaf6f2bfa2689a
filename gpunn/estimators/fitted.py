"""The fitted weights as attributes that can be assigned, and pickles that know their version."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from gpunn.network import Network
from gpunn.version import __version__

VERSION_KEY = "_gpunn_version"


class OtherVersionWarning(InconsistentVersionWarning):
    """Warn that another version of gpunn pickled an estimator; the attributes hold gpunn's versions."""

    def __str__(self) -> str:
        return (
            f"this {self.estimator_name} was pickled by gpunn {self.original_sklearn_version}, and gpunn "
            f"{self.current_sklearn_version} may misread it: fit it again; model files can be read by both"
        )


class ParameterViews(list[np.ndarray]):
    """A list of views of a network's arrays; assigning an entry copies the values into the network.

    Raises ValueError for values of another shape, before anything is copied.
    """

    def __init__(self, name: str, views: list[np.ndarray]) -> None:
        super().__init__(views)
        self.name = name

    def __reduce__(self) -> Any:
        """Pickle and copy as an ordinary list, since the network is not part of it."""
        return list, (list(self),)

    def __setitem__(self, index: Any, values: Any) -> None:
        places, whole = range(len(self))[index], isinstance(index, slice)
        targets = list(places) if whole else [places]
        given = [np.array(value) for value in (values if whole else [values])]
        if len(given) != len(targets):
            raise ValueError(f"{self.name} has {len(targets)} arrays, one for each layer, not {len(given)}")
        for place, value in zip(targets, given, strict=True):
            if value.shape != self[place].shape:
                raise ValueError(
                    f"{self.name}[{place}] must have shape {self[place].shape}, not {value.shape}: "
                    "fit a new estimator for other layers"
                )
        for place, value in zip(targets, given, strict=True):
            self[place][...] = value


class FittedState(BaseEstimator):
    """The part of an estimator that reads and changes its `network_`."""

    network_: Network

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Views of the weights of layers 1…L, each (n_{l-1}, n_l); assigning changes the network."""
        return ParameterViews("coefs_", [w.T for w in self._fitted_network().weights])

    @coefs_.setter
    def coefs_(self, coefs: Sequence[np.ndarray]) -> None:
        self.coefs_[:] = coefs

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Views of the biases of layers 1…L, each (n_l,); assigning changes the network."""
        return ParameterViews("intercepts_", [b[:, 0] for b in self._fitted_network().biases])

    @intercepts_.setter
    def intercepts_(self, intercepts: Sequence[np.ndarray]) -> None:
        self.intercepts_[:] = intercepts

    def _fitted_network(self) -> Network:
        if "estimators_" in vars(self):
            raise AttributeError("an ensemble has several networks: use those of estimators_[k]")
        if "network_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet: call fit first")
        return self.network_

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), VERSION_KEY: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        pickled = state.pop(VERSION_KEY, "an older version")
        if pickled != __version__:
            warnings.warn(
                OtherVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=pickled,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)
