"""The equations over vectors: how θ, gradients and an optimizer's states move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpunn.core.equations import Equation
from gpunn.core.examples import Pass
from gpunn.core.parameters import Parameters, Part
from gpunn.core.ranks import Ranks
from gpunn.core.rules import Rule
from gpunn.core.scalars import Scalar, StepScalars


@dataclass(eq=False, slots=True)
class AllReduce(Equation):
    """AllReduce: x ← Σ x over all ranks"""

    ranks: Ranks
    x: Part

    @property
    def formula(self) -> str:
        return f"{self.x} ← Σ {self.x} over {self.ranks.size} ranks"


@dataclass(eq=False, slots=True)
class Scale(Equation):
    """Scale: x ← α x"""

    alpha: Scalar
    x: Part

    @property
    def formula(self) -> str:
        return f"{self.x} ← {self.alpha} {self.x}"


@dataclass(eq=False, slots=True)
class Add(Equation):
    """Add: y ← y + α x"""

    alpha: Scalar
    x: Part
    into: Part

    def __post_init__(self) -> None:
        self._require(x=self.into.shape)

    @property
    def formula(self) -> str:
        alpha = str(self.alpha)
        sign, by = ("−", alpha[1:]) if alpha.startswith("−") else ("+", alpha)
        return f"{self.into} ← {self.into} {sign} {'' if by == '1' else by + ' '}{self.x}"


@dataclass(eq=False, slots=True)
class Step(Equation):
    """Step: θ moves along its gradient g by an optimizer's rule

    g is used up: afterwards its contents are unspecified. steps: (3,) float64, of which the first counts the
    steps, if the rule has to know.
    """

    rule: Rule
    theta: Parameters
    g: Parameters
    states: tuple[Parameters, ...]
    eta: Scalar
    steps: Any = None

    @property
    def formula(self) -> str:
        return self.rule.formula


@dataclass(eq=False, slots=True)
class Shrink(Equation):
    """L1: w[l] ← w[l] − min(max(w[l], −limit), limit)

    Each weight moves towards 0 by the limit and stops there.
    """

    layer: int
    limit: Scalar
    x: Part

    @property
    def formula(self) -> str:
        return self._docstring_formula().replace("limit", str(self.limit))


@dataclass(eq=False, slots=True)
class ClipNorm(Equation):
    """Clip: g ← g · min(1, limit/‖g‖)"""

    limit: float
    x: Part

    @property
    def formula(self) -> str:
        return self._docstring_formula().replace("limit", f"{self.limit:g}")


@dataclass(eq=False, slots=True)
class BoundRows(Equation):
    """Max-norm: w[l] ← each row of w[l], scaled down to a length of at most limit

    Srivastava et al. 2014, section 5.1.
    """

    layer: int
    limit: float
    theta: Parameters

    @property
    def formula(self) -> str:
        return self._docstring_formula().replace("limit", f"{self.limit:g}")


@dataclass(eq=False, slots=True)
class SetRates(Equation):
    """Schedule: η ← the learning rate of this step"""

    scalars: StepScalars
    p: Pass


@dataclass(eq=False, slots=True)
class RefreshLowPrecision(Equation):
    """Round: the bfloat16 copy of θ ← θ, if products read one"""

    theta: Parameters
