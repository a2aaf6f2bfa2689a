"""The optimizers: where the gradient lands, and how θ moves.

An optimizer is a frozen record of what was chosen. Bound to a θ it becomes an `Update`, which owns the
state (velocity, moments). BP3 and BP4 are one product, C ← α δ aᵀ + β C, and each optimizer lets it land
where it needs it: plain SGD in θ itself, momentum in the velocity, the others in a gradient buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from gpunn.core.backend import Backend, Rule
from gpunn.core.parameters import Parameters
from gpunn.core.rates import Rates, Scalar
from gpunn.functions.calls import Call
from gpunn.names import look_up

Law: TypeAlias = "tuple[str, tuple[Any, ...], tuple[float, ...]]"  # a rule's name, its states and its numbers


RANGES: dict[tuple[str, ...], tuple[Callable[[float], bool], str]] = {
    ("l1", "l2"): (lambda x: x >= 0, "0 or more"),
    ("momentum", "beta1", "beta2", "rho"): (lambda x: 0 <= x < 1, "in [0, 1)"),
    ("learning_rate", "epsilon", "max_norm", "clip_norm"): (lambda x: x > 0, "above 0"),
}


@dataclass(frozen=True, kw_only=True)
class Regularisation:
    """What every optimizer can be told besides; of weights alone, biases are left as they are.

    Args:
        l2: λ of the cost's extra term (λ/2) Σ w²; AdamW decays the weights by ηλ instead.
        l1: λ of the extra term λ Σ |w|, as its proximal step: each weight moves towards 0 by ηλ and stops
            there, so that weights do become 0 (Duchi and Singer 2009, section 5.1).
        max_norm: the greatest length of each neuron's incoming weights (Srivastava et al. 2014, section 5.1).
        clip_norm: the greatest length of the gradient; a longer one is scaled down (Pascanu et al. 2013).

    Raises:
        ValueError: a number is out of its range; of an optimizer's own, too.
    """

    l2: float = 0.0
    l1: float = 0.0
    max_norm: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for names, (within, words) in RANGES.items():
            for name in names:
                if (value := getattr(self, name, None)) is not None:
                    _check(within(value), f"{name} must be {words}", value)
                    object.__setattr__(self, name, float(value))  # no NumPy scalar, whose type would count


class Optimizer(Protocol):
    """What was chosen; `bind` allocates the state that goes with it."""

    @property
    def learning_rate(self) -> float: ...

    def bind(self, be: Backend, theta: Parameters) -> Update: ...


@dataclass(frozen=True)
class SGD(Regularisation):
    """Stochastic gradient descent, with classical or Nesterov momentum.

    v ← μ v + ∇C,  θ ← θ − η v;  with nesterov  θ ← θ − η (∇C + μ v)  (Sutskever et al.
    2013, but with η outside v, as PyTorch has it, which is the same as long as η is).

    Args:
        learning_rate: η.
        momentum: μ in [0, 1); 0 is plain gradient descent, θ ← θ − η ∇C (Nielsen, equations 20 and 21).
        nesterov: look ahead; needs a momentum above 0.

    All of `gpunn.optimizers.Regularisation`'s are taken, too, here and by the other optimizers.

    >>> gpunn.SGD(3.0, l2=1e-4).momentum
    0.0
    >>> gpunn.SGD(0.1, momentum=1.5)
    Traceback (most recent call last):
    ValueError: momentum must be in [0, 1), not 1.5
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(not self.nesterov or self.momentum > 0, "nesterov needs a momentum above 0", self.momentum)

    def bind(self, be: Backend, theta: Parameters) -> Update:
        if self.clip_norm:
            return _Clipped(self, be, theta)
        return (_Momentum if self.momentum else _Plain)(self, be, theta)


def Momentum(learning_rate: float = 0.1, momentum: float = 0.9, **regularisation: Any) -> SGD:
    """`SGD` with classical momentum (Rumelhart, Hinton and Williams 1986).

    >>> gpunn.Momentum(0.1) == gpunn.SGD(0.1, momentum=0.9)
    True
    """
    return SGD(learning_rate, momentum, **regularisation)


def Nesterov(learning_rate: float = 0.1, momentum: float = 0.9, **regularisation: Any) -> SGD:
    """`SGD` with Nesterov's momentum: the usual optimizer of `gpunn train` for images.

    >>> gpunn.Nesterov(0.1) == gpunn.SGD(0.1, momentum=0.9, nesterov=True)
    True
    """
    return SGD(learning_rate, momentum, nesterov=True, **regularisation)


@dataclass(frozen=True)
class Adam(Regularisation):
    """Adam, with bias correction: Kingma and Ba 2015, algorithm 1.

    Args:
        learning_rate: η (there α).
        beta1: what is kept of the gradient's moving mean, in [0, 1).
        beta2: and of its square's.
        epsilon: ε, above 0.

    >>> net = gpunn.Network([2, 3, 1], seed=0)
    >>> history = net.fit(np.eye(2), [0, 1], epochs=200, optimizer=gpunn.Adam(0.1))
    >>> history[-1].loss < history[0].loss
    True
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def bind(self, be: Backend, theta: Parameters) -> Update:
        return _Adam(self, be, theta)


@dataclass(frozen=True)
class AdamW(Adam):
    """`Adam`, and decoupled weight decay w ← (1 − ηλ) w before it, λ = l2: Loshchilov and Hutter 2019."""

    l2: float = field(default=0.01, kw_only=True)


@dataclass(frozen=True)
class RMSProp(Regularisation):
    """v ← ρ v + (1 − ρ) (∇C)²,  θ ← θ − η ∇C / (√v + ε): Hinton's lecture 6e, 2012.

    Args:
        learning_rate: η.
        rho: ρ in [0, 1).
        epsilon: ε, above 0.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8

    def bind(self, be: Backend, theta: Parameters) -> Update:
        return _RMSProp(self, be, theta)


class Update:
    """An optimizer bound to θ: `land` for each layer, last to first, then `finish`."""

    def __init__(self, chosen: Any, be: Backend, theta: Parameters) -> None:
        self.chosen, self.be, self.theta = chosen, be, theta
        self.rates: Rates = be.rates(chosen.learning_rate)

    def scalar(self, p: float, q: float = 0.0) -> Scalar:
        """p + q η."""
        return Scalar(self.rates, p, q)

    steps: Any = None  # what counts them, if anything does
    into: Parameters  # where the gradient lands,
    keep: float  # and by what it multiplies what was there

    def by(self, m: int) -> Scalar:
        """What multiplies the sum of the gradient over a mini-batch of m."""
        return self.scalar(1 / m)

    def land(self, layer: int, delta: Any, a: Any, m: int) -> Iterator[Call]:
        """BP3 and BP4 for a mini-batch of m: delta (n_l, m) and a = a[l-1]."""
        yield from self.prepare(layer)
        yield from self.be.gradient(delta, a, self.by(m), self.scalar(self.keep), into=self.into, layer=layer)

    def land_norm(self, layer: int, delta: Any, norm: Any, m: int) -> Iterator[Call]:
        """Back through a batch normalisation, whose own gradient lands likewise; in place in delta."""
        yield from self.prepare_norm(layer)
        factors = self.by(m), self.scalar(self.keep)
        yield from self.be.norm_error(norm, *factors, out=delta, into=self.into, layer=layer)

    def prepare_norm(self, layer: int) -> Iterator[Call]:
        """What must happen to the layer's normalisation before its gradient lands."""
        yield from ()

    def prepare(self, layer: int) -> Iterator[Call]:
        """What must happen to the layer before its gradient lands."""
        yield from ()

    def finish(self) -> Iterator[Call]:
        """What remains of the step once every layer's gradient has landed."""
        yield from self.step()
        for w, w_flat in zip(self.theta.w[1:], self.theta.w_flat[1:], strict=True):
            if self.chosen.l1:
                yield from self.be.shrink(self.scalar(0, self.chosen.l1), w_flat)
            if self.chosen.max_norm:
                yield from self.be.bound_rows(self.chosen.max_norm, w)

    def step(self) -> Iterator[Call]:
        """How θ moves."""
        yield from ()

    def state(self) -> dict[str, Any]:
        """What the steps to come depend on besides θ and η: flat arrays of the backend, by name."""
        return {}

    def rule(self) -> Rule | None:
        """How each element of θ moves by itself; None where it depends on others, too."""
        chosen, law = self.chosen, self.law()
        if law is None or chosen.clip_norm or chosen.max_norm:
            return None
        return Rule(*law, eta=self.scalar(0, 1), l2=chosen.l2, l1=chosen.l1, steps=self.steps)

    def law(self) -> Law | None:
        """The name of its rule, its states, and its numbers."""

    def decay(self, layer: int) -> Iterator[Call]:
        """w ← (1 − ηλ) w."""
        if self.chosen.l2:
            yield from self.be.scale(self.scalar(1, -self.chosen.l2), self.theta.w_flat[layer])


class _Plain(Update):
    """θ ← θ − η ∇C: the product lands in θ."""

    keep = 1.0

    def __init__(self, chosen: SGD, be: Backend, theta: Parameters) -> None:
        super().__init__(chosen, be, theta)
        self.into = theta

    def by(self, m: int) -> Scalar:
        return self.scalar(0, -1 / m)

    def law(self) -> Law:
        return "sgd", (), ()

    def prepare(self, layer: int) -> Iterator[Call]:
        yield from self.decay(layer)


class _Momentum(Update):
    """v ← μ v + ∇C: the product lands in v."""

    def __init__(self, chosen: SGD, be: Backend, theta: Parameters) -> None:
        super().__init__(chosen, be, theta)
        self.into = self.v = be.parameters(theta.layout)
        self.keep = chosen.momentum

    def state(self) -> dict[str, Any]:
        return {"v": self.v.flat}

    def law(self) -> Law:
        return "nesterov" if self.chosen.nesterov else "momentum", (self.v.flat,), (self.chosen.momentum,)

    def prepare(self, layer: int) -> Iterator[Call]:
        theta, v, mu = self.theta, self.v, self.chosen.momentum
        if self.chosen.l2:  # μ (v + (λ/μ) w) = μ v + λ w
            share = self.scalar(self.chosen.l2 / mu)
            yield from self.be.add(share, theta.w_flat[layer], into=v.w_flat[layer])
        if self.chosen.nesterov:  # θ − η (∇C + μ v') = θ + ημ v − η (1 + μ) v'
            yield from self.decay(layer)  # takes back the ηλ w that the next line brings along
            yield from self.look_ahead(v.wb_flat[layer], theta.wb_flat[layer])

    def prepare_norm(self, layer: int) -> Iterator[Call]:
        if self.chosen.nesterov:
            yield from self.look_ahead(self.v.norm_flat[layer], self.theta.norm_flat[layer])

    def look_ahead(self, v: Any, theta: Any) -> Iterator[Call]:
        """θ ← θ + ημ v."""
        yield from self.be.add(self.scalar(0, self.chosen.momentum), v, into=theta)

    def step(self) -> Iterator[Call]:
        ahead = 1 + self.chosen.momentum if self.chosen.nesterov else 1
        yield from self.be.add(self.scalar(0, -ahead), self.v.flat, into=self.theta.flat)


class _Gathered(Update):
    """The product lands in a gradient buffer g, which may be clipped, and the step goes from there."""

    keep = 0.0

    def __init__(self, chosen: Any, be: Backend, theta: Parameters) -> None:
        super().__init__(chosen, be, theta)
        self.into = self.g = be.parameters(theta.layout)
        self.layers = range(1, len(theta.w))

    def finish(self) -> Iterator[Call]:
        if self.chosen.clip_norm:
            yield from self.be.clip(self.chosen.clip_norm, self.g.flat)
        for layer in self.layers:
            yield from self.decay(layer)
        yield from super().finish()

    def decay(self, layer: int) -> Iterator[Call]:
        """g ← g + λ w."""
        if self.chosen.l2:
            theta, g = self.theta.w_flat[layer], self.g.w_flat[layer]
            yield from self.be.add(self.scalar(self.chosen.l2), theta, into=g)


class _Clipped(_Gathered):
    """SGD, for which the whole gradient must be known before any of it is used."""

    def __init__(self, chosen: SGD, be: Backend, theta: Parameters) -> None:
        super().__init__(chosen, be, theta)
        self.v = be.parameters(theta.layout) if chosen.momentum else self.g

    def state(self) -> dict[str, Any]:
        return {"v": self.v.flat} if self.chosen.momentum else {}

    def step(self) -> Iterator[Call]:
        be, theta, mu = self.be, self.theta.flat, self.chosen.momentum
        if mu:
            yield from be.scale(self.scalar(mu), self.v.flat)
            yield from be.add(self.scalar(1), self.g.flat, into=self.v.flat)
        if self.chosen.nesterov:
            yield from be.add(self.scalar(0, -1), self.g.flat, into=theta)
        ahead = mu if self.chosen.nesterov else 1
        yield from be.add(self.scalar(0, -ahead), self.v.flat, into=theta)


class _Adam(_Gathered):
    def __init__(self, chosen: Adam, be: Backend, theta: Parameters) -> None:
        super().__init__(chosen, be, theta)
        self.m, self.v, self.steps = be.parameters(theta.layout), be.parameters(theta.layout), be.numbers(3)
        self._calls = be.adam(
            theta.flat, self.g.flat, self.m.flat, self.v.flat,
            self.scalar(0, 1), chosen.beta1, chosen.beta2, chosen.epsilon, self.steps,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {"m": self.m.flat, "v": self.v.flat, "steps": self.steps}

    def law(self) -> Law:
        chosen, name = self.chosen, "adamw" if isinstance(self.chosen, AdamW) else "adam"
        return name, (self.m.flat, self.v.flat), (chosen.beta1, chosen.beta2, chosen.epsilon)

    def decay(self, layer: int) -> Iterator[Call]:
        return Update.decay(self, layer) if isinstance(self.chosen, AdamW) else super().decay(layer)

    def step(self) -> Iterator[Call]:
        yield from self._calls


class _RMSProp(_Gathered):
    def __init__(self, chosen: RMSProp, be: Backend, theta: Parameters) -> None:
        super().__init__(chosen, be, theta)
        self.v = be.parameters(theta.layout)

    def state(self) -> dict[str, Any]:
        return {"v": self.v.flat}

    def law(self) -> Law:
        return "rmsprop", (self.v.flat,), (self.chosen.rho, self.chosen.epsilon)

    def step(self) -> Iterator[Call]:
        chosen, eta = self.chosen, self.scalar(0, 1)
        flats = self.theta.flat, self.g.flat, self.v.flat
        yield from self.be.rms(*flats, eta, chosen.rho, chosen.epsilon)


@dataclass(frozen=True)
class Collect(Regularisation):
    """No optimizer: the mean gradient itself is left in its update's `g`."""

    learning_rate: float = 1.0

    def bind(self, be: Backend, theta: Parameters) -> _Gathered:
        return _Gathered(self, be, theta)


def _check(true: bool, rule: str, value: object) -> None:
    if not true:
        raise ValueError(f"{rule}, not {value}")


OPTIMIZERS: dict[str, Any] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
}


def get(optimizer: str | Optimizer) -> Optimizer:
    """An optimizer by name, with its usual settings, or as it is."""
    if isinstance(optimizer, str):
        chosen: Optimizer = look_up(OPTIMIZERS, optimizer, "optimizer")()
        return chosen
    if isinstance(optimizer, type) or not hasattr(optimizer, "bind"):
        raise ValueError(f"optimizer must be a name or one such as gpunn.Adam(0.001), not {optimizer!r}")
    return optimizer
