"""Rules: how an optimizer moves each element of θ along its gradient, in every spelling.

A rule names its state, its constants and its formula, and holds the NumPy and the C spelling. The equation
`Step` carries it to the backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gpunn.functions.calls import Array, Call

RANGES: dict[tuple[str, ...], tuple[Callable[[float], bool], str]] = {
    ("l1", "l2"): (lambda x: x >= 0, "0 or more"),
    ("momentum",): (lambda x: 0 <= x <= 1, "in [0, 1]"),
    ("beta1", "beta2", "rho"): (lambda x: 0 <= x < 1, "in [0, 1)"),
    ("learning_rate", "epsilon", "max_norm", "clip_norm"): (lambda x: x > 0, "above 0"),
}


@dataclass(frozen=True, kw_only=True)
class Regularisation:
    """Options that every optimizer takes. They apply to weights only, never to biases.

    Args:
        l2: λ of the cost's extra term (λ/2) Σ w². Optimizers with decoupled decay shrink the weights by ηλ
            instead.
        l1: λ of the extra term λ Σ |w|, as its proximal step: each weight moves towards 0 by ηλ and stops
            there, so that weights do become 0 (Duchi and Singer 2009, section 5.1).
        max_norm: maximum length of each neuron's incoming weights (Srivastava et al. 2014, section 5.1).
        clip_norm: maximum length of the gradient; a longer one is scaled down (Pascanu et al. 2013).

    Raises:
        ValueError: a number is out of its range, here or among an optimizer's own.
    """

    l2: float = 0.0
    l1: float = 0.0
    max_norm: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for names, (within, words) in RANGES.items():
            for name in names:
                if (value := getattr(self, name, None)) is not None:
                    require(within(value), f"{name} must be {words}", value)
                    object.__setattr__(self, name, float(value))  # a NumPy scalar's type would count


@dataclass(frozen=True)
class Rule(Regularisation):
    """An optimizer that moves each element of θ by itself, along its element of the gradient g.

    The C spelling is statements in the scalar type T over x (an element of θ), g, s0 and s1 (of the states),
    n0, n1, … (the constants), and r0, r1 (the pace: numbers that all elements share in a step).

    Attributes:
        formula: the rule as the book would print it.
        states: names of the arrays that it keeps between steps, at most two.
        constants: names of the fields that are n0, n1, …, at most three.
        decoupled: l2 shrinks the weights by ηλ instead of adding λ w to the gradient.
        counts_steps: the rule has to know which step it is.
        pace: C expressions of r0 and r1 in eta, n0, n1, … and, if steps are counted, p0 and p1: n0 and n1 to
            the power of the step's number. They are evaluated in double.
        cuda: the C spelling; None if there is none, and the rule is for the CPU only.
    """

    formula: ClassVar[str]
    states: ClassVar[tuple[str, ...]] = ()
    constants: ClassVar[tuple[str, ...]] = ()
    decoupled: ClassVar[bool] = False
    counts_steps: ClassVar[bool] = False
    pace: ClassVar[tuple[str, ...]] = ("eta",)
    cuda: ClassVar[str | None] = None
    lands: ClassVar[str] = "g"

    learning_rate: float = 0.001

    def numpy(self, theta: Array, g: Array, *states: Array, eta: Array, steps: Array) -> Iterator[Call]:
        """Yield the bound calls of one step over whole vectors; they may overwrite g.

        eta: 0-d, read when the calls run. steps: (3,) float64; the first counts the steps, if they are.
        """
        raise NotImplementedError


def require(true: bool, rule: str, value: object) -> None:
    if not true:
        raise ValueError(f"{rule}, not {value}")
