"""The optimizers: where the gradient lands, and how θ moves.

An optimizer is a frozen record of what was chosen. Bound to a θ it becomes an `Update`, which owns the
state (velocity, moments). BP3 and BP4 are one product, C ← α δ aᵀ + β C, and each optimizer lets it land
where it needs it: plain SGD in θ itself, momentum in the velocity, Adam in a gradient buffer.

Weight decay `l2` is λ of the cost's extra term (λ/2) Σ w²; biases are not decayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gpunn.activations import Call
from gpunn.backends.base import Backend
from gpunn.names import look_up
from gpunn.parameters import Parameters


class Update(Protocol):
    """An optimizer bound to θ."""

    def land(self, layer: int, delta: Any, a: Any, m: int) -> Iterator[Call]:
        """BP3 and BP4 for a mini-batch of m: delta (n_l, m) and a = a[l-1]."""

    def finish(self) -> Iterator[Call]:
        """What remains of the step once every layer's gradient has landed."""


class Optimizer(Protocol):
    """What was chosen; `bind` allocates the state that goes with it."""

    def bind(self, be: Backend, sizes: Sequence[int], theta: Parameters) -> Update: ...


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with classical or Nesterov momentum.

    v ← μ v + ∇C,  θ ← θ − η v;  with nesterov  θ ← θ − η (∇C + μ v)  (Sutskever et al. 2013).
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, "learning_rate must be above 0", self.learning_rate)
        _check(0 <= self.momentum < 1, "momentum must be in [0, 1)", self.momentum)
        _check(self.l2 >= 0, "l2 must be 0 or more", self.l2)
        _check(not self.nesterov or self.momentum > 0, "nesterov needs a momentum above 0", self.momentum)

    def bind(self, be: Backend, sizes: Sequence[int], theta: Parameters) -> Update:
        return _Momentum(self, be, sizes, theta) if self.momentum else _Plain(self, be, theta)


def Momentum(learning_rate: float = 0.1, momentum: float = 0.9, l2: float = 0.0) -> SGD:
    """Gradient descent with classical momentum."""
    return SGD(learning_rate, momentum, l2=l2)


def Nesterov(learning_rate: float = 0.1, momentum: float = 0.9, l2: float = 0.0) -> SGD:
    """Gradient descent with Nesterov's momentum."""
    return SGD(learning_rate, momentum, nesterov=True, l2=l2)


class _Plain:
    """θ ← θ − η ∇C: the product lands in θ."""

    def __init__(self, chosen: SGD, be: Backend, theta: Parameters) -> None:
        self.chosen, self.be, self.theta = chosen, be, theta

    def land(self, layer: int, delta: Any, a: Any, m: int) -> Iterator[Call]:
        eta, decay = self.chosen.learning_rate, self.chosen.l2
        if decay:
            yield from self.be.scale(1 - eta * decay, self.theta.w_flat[layer])
        yield from self.be.gradient(delta, a, -eta / m, 1, into=self.theta, layer=layer)

    def finish(self) -> Iterator[Call]:
        yield from ()


class _Momentum:
    """v ← μ v + ∇C: the product lands in v."""

    def __init__(self, chosen: SGD, be: Backend, sizes: Sequence[int], theta: Parameters) -> None:
        self.chosen, self.be, self.theta, self.v = chosen, be, theta, be.parameters(sizes)

    def land(self, layer: int, delta: Any, a: Any, m: int) -> Iterator[Call]:
        be, theta, v = self.be, self.theta, self.v
        eta, mu, decay = self.chosen.learning_rate, self.chosen.momentum, self.chosen.l2
        if decay:  # μ (v + (λ/μ) w) = μ v + λ w
            yield from be.add(decay / mu, theta.w_flat[layer], into=v.w_flat[layer])
        if self.chosen.nesterov:  # θ − η (∇C + μ v') = θ + ημ v − η (1 + μ) v'
            if decay:  # takes back the ηλ w that the line after it brings along
                yield from be.scale(1 - eta * decay, theta.w_flat[layer])
            yield from be.add(eta * mu, v.block[layer], into=theta.block[layer])
        yield from be.gradient(delta, a, 1 / m, mu, into=v, layer=layer)

    def finish(self) -> Iterator[Call]:
        ahead = 1 + self.chosen.momentum if self.chosen.nesterov else 1
        yield from self.be.add(-self.chosen.learning_rate * ahead, self.v.flat, into=self.theta.flat)


@dataclass(frozen=True)
class Adam:
    """Adam, with bias correction: Kingma and Ba 2015, algorithm 1."""

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, "learning_rate must be above 0", self.learning_rate)
        _check(0 <= self.beta1 < 1, "beta1 must be in [0, 1)", self.beta1)
        _check(0 <= self.beta2 < 1, "beta2 must be in [0, 1)", self.beta2)
        _check(self.epsilon > 0, "epsilon must be above 0", self.epsilon)
        _check(self.l2 >= 0, "l2 must be 0 or more", self.l2)

    def bind(self, be: Backend, sizes: Sequence[int], theta: Parameters) -> Update:
        return _Adam(self, be, sizes, theta)


class _Adam:
    """The product lands in a gradient buffer, from which the moments and θ follow."""

    def __init__(self, chosen: Adam, be: Backend, sizes: Sequence[int], theta: Parameters) -> None:
        self.chosen, self.be, self.theta = chosen, be, theta
        self.g, m, v = (be.parameters(sizes) for _ in range(3))
        self._step = be.adam(
            theta.flat, self.g.flat, m.flat, v.flat,
            chosen.learning_rate, chosen.beta1, chosen.beta2, chosen.epsilon,
        )  # fmt: skip

    def land(self, layer: int, delta: Any, a: Any, m: int) -> Iterator[Call]:
        yield from self.be.gradient(delta, a, 1 / m, 0, into=self.g, layer=layer)
        if self.chosen.l2:
            yield from self.be.add(self.chosen.l2, self.theta.w_flat[layer], into=self.g.w_flat[layer])

    def finish(self) -> Iterator[Call]:
        yield from self._step


class Collect:
    """No optimizer: the mean gradient itself, left in `g`."""

    def __init__(self, be: Backend, sizes: Sequence[int]) -> None:
        self.be, self.g = be, be.parameters(sizes)

    def land(self, layer: int, delta: Any, a: Any, m: int) -> Iterator[Call]:
        yield from self.be.gradient(delta, a, 1 / m, 0, into=self.g, layer=layer)

    def finish(self) -> Iterator[Call]:
        yield from ()


def _check(true: bool, rule: str, value: float) -> None:
    if not true:
        raise ValueError(f"{rule}, not {value}")


OPTIMIZERS: dict[str, Any] = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adam": Adam}


def get(optimizer: str | Optimizer) -> Optimizer:
    """An optimizer by name, with its usual settings, or as it is."""
    return look_up(OPTIMIZERS, optimizer, "optimizer")() if isinstance(optimizer, str) else optimizer
