"""Lists of a network's weights and biases that can be assigned to, as with scikit-learn's estimators."""

from __future__ import annotations

from typing import Any

import numpy as np


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
