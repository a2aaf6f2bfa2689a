"""Networks that may be trained together: which of them, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn import backends
from gpunn.core import optimizers
from gpunn.core.backend import Backend
from gpunn.core.layers import Dense
from gpunn.core.plan import FORWARD_BATCH
from gpunn.training.fit_options import FitOptions
from gpunn.training.trainable import Trainable

COPIES = 10  # of θ: gradient, two states, copies from the epoch's start, the best epoch and a checkpoint
INPUTS = 4  # arrays of a[0], in learning and in evaluation
WORKSPACES = 12  # arrays of each other layer
BYTES_OF_AN_EXAMPLE = 64  # its place in the order, learning rate, loss and hit, twice


@dataclass(frozen=True)
class Candidate:
    """A network, and how `Network.fit` would train it."""

    net: Trainable
    X: Any
    y: np.ndarray
    options: FitOptions


def backend_of(candidate: Candidate) -> Backend:
    """Return the backend that the network will be trained on."""
    options = candidate.options
    return backends.choose(options.device, candidate.net.dtype, options.precision)


def at_once(candidate: Candidate) -> int:
    """Return how many networks like this one its device has room for, by an estimate from above.

    The examples are not counted, since networks share them.
    """
    net, m = candidate.net, candidate.X.shape[1]
    columns = max(min(int(candidate.options.batch_size), m), FORWARD_BATCH)
    numbers = COPIES * net.layout.blocks(net.dtype.itemsize)[1]
    numbers += columns * (INPUTS * net.sizes[0] + WORKSPACES * sum(net.sizes[1:]))
    return backend_of(candidate).at_once(net.dtype.itemsize * numbers + BYTES_OF_AN_EXAMPLE * m)


def shape_of(layers: Sequence[Dense], options: FitOptions, m: int) -> tuple[Any, ...]:
    """Return all that shapes a step on m examples, which networks trained together have in common."""
    optimizer = optimizers.get(options.optimizer)
    of_layers = tuple((layer.n, layer.f, layer.batch_norm) for layer in layers)
    kind = type(optimizer), getattr(optimizer, "lands", None)
    return of_layers, kind, options.precision, options.batch_size, m


def alike(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Group the places of candidates whose steps are the same equations, except for factors."""
    groups: dict[str, list[int]] = {}
    for k, candidate in enumerate(candidates):
        groups.setdefault(kind_of(candidate), []).append(k)
    return list(groups.values())


def kind_of(candidate: Candidate) -> str:
    """Describe what determines the equations of a step, except for factors, which may differ."""
    options, optimizer = candidate.options, optimizers.get(candidate.options.optimizer)
    chosen: dict[str, Any] = dict(getattr(optimizer, "__dict__", {}))
    own = {name: bool(chosen.pop(name, 0)) for name in ("learning_rate", "momentum", "l1", "l2")}
    of_examples = id(candidate.X), options.label_smoothing, options.class_weight, options.augmentation
    described = type(optimizer), own, chosen, candidate.net.dropout, options.schedule is None, of_examples
    return repr(described)
