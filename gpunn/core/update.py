"""An optimizer bound to θ: where the gradient lands, and the equations that move θ.

BP3 and BP4 are one product, C ← α δ aᵀ + β C, and each optimizer lets it land where it needs it: plain SGD
in θ itself, momentum in the velocity, the others in a gradient buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property, partial
from typing import Any

from gpunn.core.backend import Backend
from gpunn.core.equations import Equation, Gradient, NormError
from gpunn.core.parameters import Parameters, Part
from gpunn.core.ranks import Ranks, Share
from gpunn.core.scalars import Scalar, StepScalars
from gpunn.core.vector_equations import Add, AllReduce, BoundRows, ClipNorm, Scale, Shrink, Step


class Update:
    """The equations of one optimizer: `accumulate` for each layer, last to first, then `finish`.

    Attributes:
        into: the parameters in which the gradient lands.
        keep: β, the factor of what was there before.
        ranks: those that learn together, if there are several.
    """

    into: Parameters
    keep: float

    def __init__(self, chosen: Any, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> None:
        self.chosen, self.be, self.theta, self.ranks = chosen, be, theta, ranks
        self.layers = range(1, len(theta.w))
        self.scalars: StepScalars = be.memory.scalars(chosen.learning_rate)
        self.scalar = cache(partial(Scalar, self.scalars))  # p + q η, of (p, q = 0)

    def alpha(self, share: Share) -> Scalar:
        """Return α, the factor of the gradient's sum over a share: 1/m for a whole mini-batch of m."""
        return self.scalar(share.counts / share.whole)

    def accumulate(self, layer: int, delta: Any, a: Any, share: Share) -> Iterator[Equation]:
        """BP3 and BP4 for a share of m columns: delta (n_l, m) and a = a[l-1] (n_{l-1}, m)."""
        yield from self.prepare(layer)
        yield Gradient(layer, delta, a, self.alpha(share), self.scalar(self.keep), self.into)

    def accumulate_norm(self, layer: int, delta: Any, norm: Any, share: Share) -> Iterator[Equation]:
        """Go back through a batch normalisation, in place in delta; its own gradient lands, too."""
        yield from self.prepare_norm(layer)
        factors = self.alpha(share), self.scalar(self.keep)
        yield NormError(layer, norm, delta, *factors, self.into, share)

    def prepare(self, layer: int) -> Iterator[Equation]:
        """Yield the equations that must come before the layer's gradient lands."""
        yield from ()

    def prepare_norm(self, layer: int) -> Iterator[Equation]:
        """Yield the equations that must come before the gradient of its normalisation lands."""
        yield from ()

    def finish(self) -> list[Equation]:
        """Return the rest of the step, after every layer's gradient has landed; always the same records."""
        return self._finish

    @cached_property
    def _finish(self) -> list[Equation]:
        equations = list(self.step())
        for l in self.layers:
            if self.chosen.l1:
                equations.append(Shrink(l, self.scalar(0, self.chosen.l1), Part(self.theta, "w", l)))
            if self.chosen.max_norm:
                equations.append(BoundRows(l, self.chosen.max_norm, self.theta))
        return equations

    def step(self) -> Iterator[Equation]:
        """Yield the equations that move θ after all gradients have landed."""
        yield from ()

    def state(self) -> dict[str, Any]:
        """Return what later steps depend on besides θ and η: flat arrays of the backend, by name."""
        return {}

    def shrink_weights(self, layer: int) -> Iterator[Equation]:
        """w ← (1 − ηλ) w."""
        if self.chosen.l2:
            yield Scale(self.scalar(1, -self.chosen.l2), Part(self.theta, "w", layer))


class InTheta(Update):
    """θ ← θ − η ∇C: the product lands in θ."""

    keep = 1.0

    def __init__(self, chosen: Any, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> None:
        super().__init__(chosen, be, theta, ranks)
        self.into = theta

    def alpha(self, share: Share) -> Scalar:
        return self.scalar(0, -1 / share.whole)

    def prepare(self, layer: int) -> Iterator[Equation]:
        return self.shrink_weights(layer)


class InVelocity(Update):
    """v ← μ v + ∇C: the product lands in v."""

    def __init__(self, chosen: Any, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> None:
        super().__init__(chosen, be, theta, ranks)
        self.into = self.v = be.memory.new_parameters(theta.layout, "v")
        self.keep = chosen.momentum

    def state(self) -> dict[str, Any]:
        return {"v": self.v.flat}

    def prepare(self, layer: int) -> Iterator[Equation]:
        if self.chosen.l2:  # μ (v + (λ/μ) w) = μ v + λ w
            share = self.scalar(self.chosen.l2 / self.chosen.momentum)
            yield Add(share, Part(self.theta, "w", layer), Part(self.v, "w", layer))
        if self.chosen.nesterov:  # θ − η (∇C + μ v') = θ + ημ v − η (1 + μ) v'
            yield from self.shrink_weights(layer)  # takes back the ηλ w that the next line brings along
            yield self.look_ahead("wb", layer)

    def prepare_norm(self, layer: int) -> Iterator[Equation]:
        if self.chosen.nesterov:
            yield self.look_ahead("norm", layer)

    def look_ahead(self, kind: str, layer: int) -> Equation:
        """θ ← θ + ημ v."""
        by = self.scalar(0, self.chosen.momentum)
        return Add(by, Part(self.v, kind, layer), Part(self.theta, kind, layer))

    def step(self) -> Iterator[Equation]:
        ahead = 1 + self.chosen.momentum if self.chosen.nesterov else 1
        yield Add(self.scalar(0, -ahead), Part(self.v), Part(self.theta))


class InGradient(Update):
    """The product lands in a gradient buffer g, which is known as a whole before anything moves along it.

    Ranks add up their gradients there, and then all take the same step.
    """

    keep = 0.0

    def __init__(self, chosen: Any, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> None:
        super().__init__(chosen, be, theta, ranks)
        self.into = self.g = be.memory.new_parameters(theta.layout, "g")

    def step(self) -> Iterator[Equation]:
        if self.ranks:
            yield AllReduce(self.ranks, Part(self.g))
        if self.chosen.clip_norm:
            yield ClipNorm(self.chosen.clip_norm, Part(self.g))
        for layer in self.layers:
            yield from self.decay(layer)
        yield from self.move()

    def decay(self, layer: int) -> Iterator[Equation]:
        """g ← g + λ w."""
        if self.chosen.l2:
            w, g = Part(self.theta, "w", layer), Part(self.g, "w", layer)
            yield Add(self.scalar(self.chosen.l2), w, g)

    def move(self) -> Iterator[Equation]:
        """Yield the equations that move θ along g."""
        yield from ()


class ByRule(InGradient):
    """A rule takes the step from g, element by element."""

    def __init__(self, chosen: Any, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> None:
        super().__init__(chosen, be, theta, ranks)
        self.states = {name: be.memory.new_parameters(theta.layout, name) for name in chosen.states}
        self.steps = be.memory.numbers(3) if chosen.counts_steps else None

    def state(self) -> dict[str, Any]:
        counted = {} if self.steps is None else {"steps": self.steps}
        return {name: x.flat for name, x in self.states.items()} | counted

    def decay(self, layer: int) -> Iterator[Equation]:
        return self.shrink_weights(layer) if self.chosen.decoupled else super().decay(layer)

    def move(self) -> Iterator[Equation]:
        states, eta = tuple(self.states.values()), self.scalar(0, 1)
        yield Step(self.chosen, self.theta, self.g, states, eta, self.steps)


class ByWholeGradient(InGradient):
    """SGD with clip_norm or several ranks: the whole gradient must be known before any of it is used."""

    def __init__(self, chosen: Any, be: Backend, theta: Parameters, ranks: Ranks | None = None) -> None:
        super().__init__(chosen, be, theta, ranks)
        self.v = be.memory.new_parameters(theta.layout, "v") if chosen.momentum else self.g

    def state(self) -> dict[str, Any]:
        return {"v": self.v.flat} if self.chosen.momentum else {}

    def move(self) -> Iterator[Equation]:
        theta, g, v, mu = Part(self.theta), Part(self.g), Part(self.v), self.chosen.momentum
        if mu:
            yield Scale(self.scalar(mu), v)
            yield Add(self.scalar(1), g, v)
        if self.chosen.nesterov:
            yield Add(self.scalar(0, -1), g, theta)
        ahead = mu if self.chosen.nesterov else 1
        yield Add(self.scalar(0, -ahead), v, theta)
