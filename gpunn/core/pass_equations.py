"""The equations of a pass: gather the examples, measure the outputs, and move on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpunn.core.equations import Equation
from gpunn.core.examples import Examples, Pass
from gpunn.functions.activations import Activation
from gpunn.functions.augmentation import Augmentation
from gpunn.functions.costs import Cost


@dataclass(eq=False, slots=True)
class Gather(Equation):
    """Gather: a[0], y ← the next m examples of the pass"""

    examples: Examples
    p: Pass
    x: Any
    y: Any
    labels: Any
    weights: Any = None

    def __post_init__(self) -> None:
        m = self.x.shape[1]
        self._require(labels=(m,), weights=(1, m), x=(self.examples.X.shape[0], m))
        if self.examples.targets is not None:
            self._require(y=(self.examples.targets.shape[0], m))
        elif self.y is not None:
            self._require(y=(self.y.shape[0], m))


@dataclass(eq=False, slots=True)
class Distort(Equation):
    """Distort: a[0] ← the images a[0] as this pass shows them"""

    augmentation: Augmentation
    x: Any
    p: Pass

    def __post_init__(self) -> None:
        height, width = self.augmentation.shape
        self._require(x=(height * width, self.x.shape[1]))


@dataclass(eq=False, slots=True)
class Measure(Equation):
    """Measure: C and, if there are labels, whether each example is a hit

    one_hot: y is 1 at each label and 0 elsewhere.
    """

    cost: Cost
    f: Activation
    z: Any
    a: Any
    y: Any
    labels: Any
    p: Pass
    one_hot: bool = False

    def __post_init__(self) -> None:
        self._require(z=self.y.shape, a=self.y.shape, labels=self.y.shape[1:])


@dataclass(eq=False, slots=True)
class WeighLosses(Equation):
    """Weights: C ← the weight of each example · C"""

    weights: Any
    p: Pass


@dataclass(eq=False, slots=True)
class CollectOutputs(Equation):
    """Collect: the outputs' next m columns ← a[L]"""

    a: Any
    p: Pass
    into: Any

    def __post_init__(self) -> None:
        self._require(into=(self.a.shape[0], self.into.shape[1]))


@dataclass(eq=False, slots=True)
class NextStep(Equation):
    """Next step: t ← t + 1"""

    p: Pass


@dataclass(eq=False, slots=True)
class Advance(Equation):
    """Advance: the pass has come m examples further"""

    p: Pass
    m: int
