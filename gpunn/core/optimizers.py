"""The optimizers: frozen records of what was chosen, each with its rule in every spelling.

Bound to a θ an optimizer becomes an `Update` (see update.py), which owns the state. SGD is two lines of the
step's equations. Every other optimizer is a `Rule`, which moves each element by itself: its formula, its
NumPy spelling and its C expression stand side by side here, and every backend takes them from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from gpunn.core.backend import Backend
from gpunn.core.parameters import Parameters
from gpunn.core.ranks import Ranks
from gpunn.core.rules import Regularisation, Rule, require
from gpunn.core.update import ByRule, ByWholeGradient, InGradient, InTheta, InVelocity, Update
from gpunn.functions import vectors
from gpunn.functions.calls import Array, Call, constant
from gpunn.names import OtherNames, name_in


class Optimizer(Protocol):
    """A choice of optimizer and settings; `bind` allocates the state that goes with it.

    ranks: those that learn together, if there are several.
    """

    @property
    def learning_rate(self) -> float: ...

    def bind(self, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> Update: ...


@dataclass(frozen=True)
class SGD(Regularisation):
    """Stochastic gradient descent, with classical or Nesterov momentum.

    v ← μ v + ∇C,  θ ← θ − η v;  with nesterov  θ ← θ − η (∇C + μ v)  (Sutskever et al. 2013, but with η
    outside v, as in PyTorch; the two agree as long as η is constant).

    Args:
        learning_rate: η.
        momentum: μ in [0, 1]; 0 is plain gradient descent, θ ← θ − η ∇C (Nielsen, equations 20 and 21).
        nesterov: look ahead; needs a momentum above 0.

    All optimizers also take the options of `gpunn.optimizers.Regularisation`.

    >>> gpunn.SGD(3.0, l2=1e-4).momentum
    0.0
    >>> gpunn.SGD(0.1, momentum=1.5)
    Traceback (most recent call last):
    ValueError: momentum must be in [0, 1], not 1.5
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.nesterov or self.momentum > 0, "nesterov needs a momentum above 0", self.momentum)

    @property
    def lands(self) -> str:
        """The parameters in which BP3 and BP4 accumulate the gradient: "theta", "v" or "g"."""
        return "g" if self.clip_norm else "v" if self.momentum else "theta"

    def bind(self, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> Update:
        update = {"theta": InTheta, "v": InVelocity, "g": ByWholeGradient}["g" if ranks else self.lands]
        return update(self, be, theta, ranks)


def Momentum(learning_rate: float = 0.1, momentum: float = 0.9, **regularisation: Any) -> SGD:
    """`SGD` with classical momentum (Rumelhart, Hinton and Williams 1986).

    >>> gpunn.Momentum(0.1) == gpunn.SGD(0.1, momentum=0.9)
    True
    """
    return SGD(learning_rate, momentum, **regularisation)


def Nesterov(learning_rate: float = 0.1, momentum: float = 0.9, **regularisation: Any) -> SGD:
    """`SGD` with Nesterov's momentum: the default optimizer of `gpunn train` for images.

    >>> gpunn.Nesterov(0.1) == gpunn.SGD(0.1, momentum=0.9, nesterov=True)
    True
    """
    return SGD(learning_rate, momentum, nesterov=True, **regularisation)


@dataclass(frozen=True)
class ByElement(Rule):
    """An optimizer that is a rule and nothing else."""

    def bind(self, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> Update:
        return ByRule(self, be, theta, ranks)


@dataclass(frozen=True)
class Adam(ByElement):
    """Adam, with bias correction: Kingma and Ba 2015, algorithm 1.

    m ← β₁ m + (1 − β₁) ∇C,  v ← β₂ v + (1 − β₂) (∇C)²,  θ ← θ − η m̂ / (√v̂ + ε)
    with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) in step t = 1, 2, …

    Args:
        learning_rate: η (α in the paper).
        beta1: β₁ in [0, 1), the share of the gradient's moving mean that is kept.
        beta2: β₂ in [0, 1), the same for the moving mean of its square.
        epsilon: ε, above 0.

    >>> net = gpunn.Network([2, 3, 1], seed=0)
    >>> history = net.fit(np.eye(2), [0, 1], epochs=200, optimizer=gpunn.Adam(0.1))
    >>> history[-1].loss < history[0].loss
    True
    """

    formula = "m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  θ ← θ − η m̂ / (√v̂ + ε)"
    states = ("m", "v")
    constants = ("beta1", "beta2", "epsilon")
    counts_steps = True
    pace = ("eta * sqrt(1 - p1) / (1 - p0)", "n2 * sqrt(1 - p1)")
    cuda = "s0 = n0 * s0 + (1 - n0) * g; s1 = n1 * s1 + (1 - n1) * g * g; x -= r0 * s0 / (sqrt(s1) + r1);"

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def numpy(self, theta: Array, g: Array, *states: Array, eta: Array, steps: Array) -> Iterator[Call]:
        m, v = states
        s, rate, small = np.empty_like(theta), constant(theta, 0), constant(theta, 0)

        def begin() -> None:
            steps[0] += 1
            unbias = math.sqrt(1 - self.beta2 ** steps[0])
            rate[()] = float(eta) * unbias / (1 - self.beta1 ** steps[0])
            small[()] = self.epsilon * unbias

        yield begin
        yield from vectors.average(m, self.beta1, g, s)
        yield partial(np.multiply, g, g, g)
        yield from vectors.average(v, self.beta2, g, g)
        yield from vectors.divide_by_root(m, v, small, s)
        yield from vectors.move(theta, rate, s, s)


@dataclass(frozen=True)
class AdamW(Adam):
    """`Adam` with decoupled weight decay w ← (1 − ηλ) w, λ = l2: Loshchilov and Hutter 2019."""

    decoupled = True

    l2: float = field(default=0.01, kw_only=True)


@dataclass(frozen=True)
class RMSProp(ByElement):
    """v ← ρ v + (1 − ρ) (∇C)²,  θ ← θ − η ∇C / (√v + ε): Hinton's lecture 6e, 2012.

    Args:
        learning_rate: η.
        rho: ρ in [0, 1).
        epsilon: ε, above 0.
    """

    formula = "v ← ρ v + (1 − ρ) g²,  θ ← θ − η g / (√v + ε)"
    states = ("v",)
    constants = ("rho", "epsilon")
    cuda = "s0 = n0 * s0 + (1 - n0) * g * g; x -= r0 * g / (sqrt(s0) + n1);"

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8

    def numpy(self, theta: Array, g: Array, *states: Array, eta: Array, steps: Array) -> Iterator[Call]:
        (v,) = states
        s, square = np.empty_like(theta), np.empty_like(theta)
        yield partial(np.multiply, g, g, square)
        yield from vectors.average(v, self.rho, square, square)
        yield from vectors.divide_by_root(g, v, constant(theta, self.epsilon), s)
        yield from vectors.move(theta, eta, s, s)


@dataclass(frozen=True)
class Lion(ByElement):
    """θ ← θ − η (sign(β₁ m + (1 − β₁) ∇C) + λ w),  m ← β₂ m + (1 − β₂) ∇C: Chen et al. 2023, algorithm 2.

    Every element moves by η. Weight decay is decoupled, with λ = l2. Compared with AdamW, Chen et al.
    recommend a learning rate that is 3 to 10 times smaller and a λ that is larger by the same factor.

    Args:
        learning_rate: η.
        beta1: β₁ in [0, 1), the share of m in the direction of the step.
        beta2: β₂ in [0, 1), the share of m that is kept.

    >>> gpunn.Lion(l2=0.1)
    Lion(l2=0.1, l1=0.0, max_norm=None, clip_norm=None, learning_rate=0.0001, beta1=0.9, beta2=0.99)
    """

    formula = "θ ← θ − η sign(β₁ m + (1 − β₁) g),  m ← β₂ m + (1 − β₂) g"
    states = ("m",)
    constants = ("beta1", "beta2")
    decoupled = True
    cuda = "const T c = n0 * s0 + (1 - n0) * g; x -= r0 * (T(c > 0) - T(c < 0)); s0 = n1 * s0 + (1 - n1) * g;"

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99

    def numpy(self, theta: Array, g: Array, *states: Array, eta: Array, steps: Array) -> Iterator[Call]:
        (m,) = states
        s, direction = np.empty_like(theta), np.empty_like(theta)
        yield partial(np.copyto, direction, m)
        yield from vectors.average(direction, self.beta1, g, s)
        yield partial(np.sign, direction, direction)
        yield from vectors.move(theta, eta, direction, s)
        yield from vectors.average(m, self.beta2, g, s)


@dataclass(frozen=True)
class Collect(Regularisation):
    """No optimizer: it leaves the mean gradient itself in the `g` of its update."""

    learning_rate: float = 1.0

    def bind(self, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> InGradient:
        return InGradient(self, be, theta, ranks)


OPTIMIZERS: dict[str, Any] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
}

OTHER_NAMES = OtherNames(
    aliases={"gradient descent": "sgd", "gd": "sgd", "nag": "nesterov"},
    near={
        **dict.fromkeys(("adagrad", "adadelta", "nadam", "adamax", "radam"), "'adam'"),
        "lbfgs": "'adam' (gpunn.MLPClassifier and gpunn.MLPRegressor have solver='lbfgs')",
    },
)


def name_of(optimizer: str) -> str:
    """Return gpunn's own name for an optimizer. Raises ValueError if it is unknown."""
    return name_in(OPTIMIZERS, optimizer, "optimizer", OTHER_NAMES)


def get(optimizer: str | Optimizer) -> Optimizer:
    """Look up an optimizer by name, with its default settings, or return one as it is."""
    if isinstance(optimizer, str):
        chosen: Optimizer = OPTIMIZERS[name_of(optimizer)]()
        return chosen
    if isinstance(optimizer, type) or not hasattr(optimizer, "bind"):
        raise ValueError(
            f"optimizer must be a name or an optimizer such as gpunn.Adam(0.001), not {optimizer!r}"
        )
    return optimizer
