"""Warn of targets that no output of the network can take."""

from __future__ import annotations

import math
import warnings

import numpy as np

from gpunn.core.inputs import Targets
from gpunn.functions.activations import Activation

CLOSED = {"tanh": (-1.0, 1.0), "relu": (0.0, math.inf)}  # the others have the closure of `Activation.values`


def warn_out_of_reach(f: Activation, y: Targets, stacklevel: int) -> bool:
    """Warn if a target is outside the range of the output activation f; return whether one is."""
    low, high = CLOSED.get(f.name, f.values)
    if y.targets is None:
        return False
    outside = (y.targets < low) | (y.targets > high)
    if not outside.any():
        return False
    first = tuple(int(i) for i in np.argwhere(outside)[0])
    place = ", ".join(map(str, first if len(y.targets) > 1 else first[1:]))
    reach = f"in [{low:g}, {high:g}]" if high < math.inf else f"{low:g} or more"
    warnings.warn(
        f"the outputs of {f.name} are {reach}, but the target y[{place}] is {y.targets[first]:g}: scale the "
        "targets, or use an output layer that reaches them, such as Dense(n, 'identity')",
        stacklevel=stacklevel + 1,
    )
    return True
