"""Equations: everything that happens in a pass over the examples, as records that name their operands.

A record is one line of mathematics, and its docstring is the formula. It says *what* is computed and holds
the buffers it is computed in; *how* is up to a backend, which turns a list of records into bound calls.
Shapes are checked here, once, for every backend. Matrices are (n, m), column-major, one example a column.
Printed one after another, the records of a step read like the book.

Records are not changed once they are made. They are not frozen by `dataclass` all the same, because that
slows down a short training, which makes as many records as it runs calls.

Here are feedforward and back-propagation. Equations over vectors, by which θ moves, are in
vector_equations.py; those that gather examples and measure outputs are in pass_equations.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gpunn.core.examples import Pass
from gpunn.core.parameters import Parameters, Part
from gpunn.core.ranks import Share
from gpunn.core.scalars import Scalar
from gpunn.functions.activations import Activation
from gpunn.functions.calls import Calls
from gpunn.functions.costs import Cost

LABEL = 13  # characters of the column of names


@dataclass(eq=False, slots=True)
class Equation:
    """One line of a step: its docstring is "name: formula"."""

    @property
    def name(self) -> str:
        """The name of the equation, such as "BP2"."""
        return _first_line(self).partition(": ")[0]

    @property
    def formula(self) -> str:
        """The formula as it is printed."""
        return self._docstring_formula()

    def _docstring_formula(self) -> str:
        """Return the docstring's formula, with this record's layer in place of l."""
        layer, formula = getattr(self, "layer", 0), _first_line(self).partition(": ")[2]
        return formula.replace("[l]", f"[{layer}]").replace("[l-1]", f"[{layer - 1}]")

    def __str__(self) -> str:
        return f"{self.name:<{LABEL}}{self.formula}"

    def _require(self, **shapes: tuple[int, ...]) -> None:
        """Raise ValueError unless the operands of these names, if they are there, have these shapes."""
        for name, shape in shapes.items():
            operand = getattr(self, name)
            if operand is not None and operand.shape != shape:
                raise ValueError(f"{self.name}: {name} must be {shape}, not {operand.shape}")


def _first_line(equation: Equation) -> str:
    return (type(equation).__doc__ or type(equation).__name__).partition("\n")[0]


def text(equations: Iterable[Equation]) -> str:
    """Print the equations one a line, each different line once: all mini-batches go through the same."""
    return "\n".join(dict.fromkeys(map(str, equations)))


def lower(
    equations: Iterable[Equation],
    functions: Mapping[type[Equation], Callable[[Any, Any], Calls]],
    context: Any,
) -> Calls:
    """Bind each equation by its type's function(context, equation); a record that comes again is bound once.

    Raises NotImplementedError for a type that has no function.
    """
    bound: dict[int, tuple[Equation, Calls]] = {}
    calls: Calls = []
    for equation in equations:
        if (known := bound.get(id(equation))) is None:
            if (function := functions.get(type(equation))) is None:
                raise NotImplementedError(f"there is no way to compute '{equation}' on this backend")
            known = bound[id(equation)] = equation, function(context, equation)
        calls += known[1]
    return calls


# feedforward


@dataclass(eq=False, slots=True)
class Drop(Equation):
    """Dropout: a[l] ← a[l] ⊙ mask[l]

    mask is 0 with probability `rate`, else 1. What is kept counts 1/(1 − rate) in the products that read it
    (inverted dropout; Srivastava et al. 2014). first: the number of the first column in the mini-batch.
    """

    layer: int
    a: Any
    mask: Any
    rate: float
    p: Pass
    first: int = 0

    def __post_init__(self) -> None:
        self._require(mask=self.a.shape)


@dataclass(eq=False, slots=True)
class Forward(Equation):
    """Forward: a[l] = f(w[l] a[l-1] + b[l])

    z (n, m) holds w a + b, unless out shares its memory.
    """

    layer: int
    theta: Parameters
    f: Activation
    a: Any
    z: Any
    out: Any

    def __post_init__(self) -> None:
        (n, n_in), m = self.theta.w[self.layer].shape, self.a.shape[1]
        self._require(a=(n_in, m), z=(n, m), out=(n, m))


@dataclass(eq=False, slots=True)
class Affine(Equation):
    """Forward: z[l] = w[l] a[l-1] + b[l]"""

    layer: int
    theta: Parameters
    a: Any
    out: Any

    def __post_init__(self) -> None:
        (n, n_in), m = self.theta.w[self.layer].shape, self.a.shape[1]
        self._require(a=(n_in, m), out=(n, m))


@dataclass(eq=False, slots=True)
class Normalise(Equation):
    """Normalise: z[l] ← γ (z[l] − μ)/√(σ² + ε) + β

    μ and σ² are each row's mean and variance over the mini-batch, towards which the running mean and variance
    move; or the running ones themselves. Ioffe and Szegedy 2015, algorithms 1 and 2. The mini-batch is that
    of all ranks.
    """

    layer: int
    theta: Parameters
    norm: Any
    z: Any
    share: Share

    def __post_init__(self) -> None:
        n = self.theta.b[self.layer].shape[0]
        self._require(norm=self.z.shape, z=(n, self.z.shape[1]))


@dataclass(eq=False, slots=True)
class Activate(Equation):
    """Activate: a[l] = f(z[l])"""

    layer: int
    f: Activation
    z: Any
    out: Any

    def __post_init__(self) -> None:
        self._require(out=self.z.shape)


# back-propagation


@dataclass(eq=False, slots=True)
class OutputError(Equation):
    """BP1: δ[l] = ∇C ⊙ f′(z[l])"""

    layer: int
    cost: Cost
    f: Activation
    z: Any
    a: Any
    y: Any
    out: Any

    def __post_init__(self) -> None:
        self._require(z=self.y.shape, a=self.y.shape, out=self.y.shape)


@dataclass(eq=False, slots=True)
class ApplyWeights(Equation):
    """Weights: δ[l] ← δ[l] ⊙ the weight of each example"""

    layer: int
    weights: Any
    delta: Any

    def __post_init__(self) -> None:
        self._require(weights=(1, self.delta.shape[1]))


@dataclass(eq=False, slots=True)
class HiddenError(Equation):
    """BP2: δ[l-1] = (w[l]ᵀ δ[l]) ⊙ f′(z[l-1])

    and ⊙ mask/(1 − rate) if a[l-1] was dropped. a, z, mask and f are those of layer l − 1.
    """

    layer: int
    theta: Parameters
    delta: Any
    f: Activation
    z: Any
    a: Any
    mask: Any
    out: Any

    def __post_init__(self) -> None:
        (n, n_in), m = self.theta.w[self.layer].shape, self.delta.shape[1]
        before = (n_in, m)
        self._require(delta=(n, m), z=before, a=before, mask=before, out=before)


@dataclass(eq=False, slots=True)
class Gradient(Equation):
    """BP3, BP4: [w b][l] ← α δ[l] [a[l-1]; 1]ᵀ + β [w b][l]

    The gradient lands in `into`: θ itself, a velocity or a gradient buffer.
    """

    layer: int
    delta: Any
    a: Any
    alpha: Scalar
    beta: Scalar
    into: Parameters

    def __post_init__(self) -> None:
        (n, n_in), m = self.into.w[self.layer].shape, self.a.shape[1]
        self._require(delta=(n, m), a=(n_in, m))

    @property
    def formula(self) -> str:
        return self._docstring_formula().replace(
            f"[w b][{self.layer}]", str(Part(self.into, "wb", self.layer))
        )


@dataclass(eq=False, slots=True)
class NormError(Equation):
    """Normalise: [γ β][l] ← α [Σ δ ẑ, Σ δ] + β [γ β][l];  δ[l] ← γ/√(σ² + ε) (δ − mean δ − ẑ mean(δ ẑ))

    without the means if the running mean and variance were used. The means are those over all ranks; the
    gradient is that of the share.
    """

    layer: int
    norm: Any
    delta: Any
    alpha: Scalar
    beta: Scalar
    into: Parameters
    share: Share

    def __post_init__(self) -> None:
        n = self.into.b[self.layer].shape[0]
        self._require(norm=self.delta.shape, delta=(n, self.delta.shape[1]))
