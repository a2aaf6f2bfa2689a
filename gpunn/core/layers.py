"""A layer: the number of its neurons, their activation, and how their weights are initialised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gpunn.functions import activations, initializers
from gpunn.functions.activations import Activation
from gpunn.functions.randoms import LANE, threshold


@dataclass(frozen=True, repr=False)
class Dense:
    """A fully connected layer of n neurons: a = f(w a_before + b), w (n, n_before), b (n, 1).

    Args:
        n: number of neurons.
        activation: a name (`gpunn.ACTIVATIONS`), an `Activation`, or a pair of NumPy functions (f, f′) of z.
        init: a name (`gpunn.INITIALIZERS`); None chooses the activation's usual initialiser: he for the
            rectifiers, glorot for the others.
        dropout: fraction of its outputs dropped in training; the remaining outputs are multiplied by
            1/(1 − dropout) (Srivastava et al. 2014). Not for the last layer.
        batch_norm: normalise z over each mini-batch in training, and by the running mean and variance
            otherwise (Ioffe and Szegedy 2015). Not for the last layer.

    Raises:
        ValueError: n is below 1, dropout is not in [0, 1), or a name is unknown.

    >>> gpunn.Dense(30, "tanh", dropout=0.5)
    Dense(30, 'tanh', dropout=0.5)
    >>> gpunn.Dense(30, (np.sin, np.cos)).f.name
    'custom'
    >>> gpunn.Dense(30, "relo")
    Traceback (most recent call last):
    ValueError: unknown activation 'relo': did you mean 'relu'? choose from sigmoid, tanh, relu, ...
    """

    n: int
    activation: str | Activation | tuple[Callable[..., Any], Callable[..., Any]] = "sigmoid"
    init: str | None = None
    dropout: float = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dropout", check_dropout(self.dropout))
        if not isinstance(self.n, int | np.integer) or self.n < 1:
            raise ValueError(f"a layer needs at least one neuron, not {self.n!r}")
        object.__setattr__(self, "n", int(self.n))
        object.__setattr__(self, "activation", activations.get(self.activation))
        if self.init is not None:
            object.__setattr__(self, "init", initializers.name_of(self.init))

    def __repr__(self) -> str:
        """Return the call that makes this layer, without the arguments that have their default values."""
        f = repr(self.f.name) if not activations.is_own(self.f) else f"<{self.f.name}>"
        more = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)[2:]
            if getattr(self, field.name) != field.default
        ]
        return f"Dense({', '.join([str(self.n), f, *more])})"

    @property
    def f(self) -> Activation:
        """Its activation, looked up."""
        assert isinstance(self.activation, Activation)
        return self.activation

    @property
    def initializer(self) -> str:
        """The name of its initialiser: the chosen one, or the activation's usual one."""
        return self.init or self.f.init


def check_dropout(rate: float) -> float:
    """Return the dropout rate as a float. Raises ValueError unless it is in [0, 1).

    Rates are applied in steps of 1/65,536, so the last step before 1 is excluded, too.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout must be in [0, 1), not {rate!r}")
    if threshold(rate) == LANE:
        raise ValueError(f"dropout {rate!r} would drop everything: choose 0.9999 or less")
    return float(rate)
