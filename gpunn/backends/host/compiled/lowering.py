"""Equations as operations of the compiled kernels: one function an equation's type.

A function returns None if the kernels lack what the equation needs, such as an activation of the user's own.
NumPy then computes this equation between two programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from gpunn.backends.host.compiled import source
from gpunn.backends.host.compiled.library import Kernels
from gpunn.backends.host.compiled.operations import WORTH_SHARING, Code, Operation, Program
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import Columns, SparseColumns
from gpunn.backends.host.threads import Product
from gpunn.core.equations import (
    Affine,
    ApplyWeights,
    Equation,
    Forward,
    Gradient,
    HiddenError,
    OutputError,
)
from gpunn.core.examples import Pass
from gpunn.core.parameters import Parameters, Part
from gpunn.core.pass_equations import Gather, Measure, NextStep
from gpunn.core.scalars import CAPACITY
from gpunn.core.vector_equations import Add, RefreshLowPrecision, Scale, SetRates, Step
from gpunn.functions.activations import Activation
from gpunn.functions.activations.outputs import IDENTITY
from gpunn.functions.calls import Array, Calls

Operations: TypeAlias = list[Operation]
Lower: TypeAlias = Callable[[Equation], Calls]

GATHERED = {"uint8": Code.GATHER_BYTES, "float32": Code.GATHER_SINGLE, "float64": Code.GATHER_DOUBLE}
SMALL, MANY = 1 << 16, 64  # a small w is read by all threads if there are many columns to share
SPLIT = 256  # features, from which on the sums of each half are computed apart
CONSTANTS = 3  # of a rule


# the examples


def gather(context: Context, e: Gather) -> Operations | None:
    """x, y, labels and weights ← those of the next columns of the pass."""
    examples = e.examples
    if isinstance(e.x, SparseColumns):
        return None
    parts = [_take(examples.X, e.x.ones[:-1])]
    if examples.targets is not None:
        parts.append(_take(examples.targets, e.y))
    if examples.labels is not None:
        parts.append(_labels(e))
    if e.weights is not None:
        parts.append(_take(examples.weights, e.weights))
    return None if None in parts else [part for part in parts if part]


def _take(source: Array, out: Array) -> Operation | None:
    """out (n, c) ← the next c columns of source (n, m)."""
    code = GATHERED.get(getattr(source, "dtype", np.dtype(object)).name)
    if code is None or not isinstance(source, np.ndarray):
        return None
    n, c = out.shape
    down, apart = (stride // source.itemsize for stride in source.strides)
    if (n > 1 and down != 1) or any(stride % source.itemsize for stride in source.strides):
        return None
    return Operation(code, [source, apart, n, c, out, out.strides[1] // out.itemsize])


def _labels(e: Gather) -> Operation | None:
    labels = e.examples.labels
    if labels.dtype != np.intp or not labels.flags.c_contiguous:
        return None
    on_and_off = np.array(e.examples.on_and_off(len(e.y)), e.y.dtype)
    return Operation(Code.LABELS, [labels, len(e.y), len(e.labels), e.labels, e.y, on_and_off])


# feedforward


def forward(context: Context, e: Forward) -> Operations | None:
    """z = w a + b, out = f(z)."""
    return _forward(context, e.theta, e.layer, e.a, e.z, e.out.plain, e.out.ones, e.f)


def affine(context: Context, e: Affine) -> Operations | None:
    """out = w a + b."""
    return _forward(context, e.theta, e.layer, e.a, e.out, e.out, None, IDENTITY)


def _forward(
    context: Context,
    theta: Parameters,
    layer: int,
    a: Columns | SparseColumns,
    z: Array,
    out: Array,
    ones: Array | None,
    f: Activation,
) -> Operations | None:
    place = source.place_of_activation(f)
    if place is None or isinstance(a, SparseColumns):
        return None
    x, w = a.ones, theta.wb[layer]
    (n, k), m = w.shape, x.shape[1]
    half = context.scratch(z) if k > SPLIT else None
    fields = [n, k, m, w, x, k, float(a.scale), z, out, ones, place, half]
    return [Operation(Code.FORWARD, fields, n * k * m)]


# back-propagation


def output_error(context: Context, e: OutputError) -> Operations | None:
    """BP1: δ = ∇C ⊙ f′(z)."""
    gradient, f = source.place_of_gradient(e.cost, e.f), source.place_of_activation(e.f)
    paired = gradient == source.PAIRED_PLACE
    if gradient is None or (not paired and (f is None or e.f.by_column)):
        return None
    return [
        Operation(Code.OUTPUT_ERROR, [*e.y.shape, e.a.plain, e.y, e.z, e.out, gradient, 0 if paired else f])
    ]


def apply_weights(context: Context, e: ApplyWeights) -> Operations:
    """δ[:, j] ← weights[j] · δ[:, j]."""
    return [Operation(Code.APPLY_WEIGHTS, [*e.delta.shape, e.weights, e.delta])]


def hidden_error(context: Context, e: HiddenError) -> Operations | None:
    """BP2: out = (wᵀ δ) ⊙ f′(z), and ⊙ mask."""
    f = source.place_of_activation(e.f)
    if f is None or e.f.by_column:
        return None
    (n, n_in), m, w = e.theta.w[e.layer].shape, e.delta.shape[1], e.theta.w[e.layer]
    by_columns = n * n_in <= SMALL and m >= MANY
    fields = [n, n_in, m, by_columns, w, e.delta, float(e.a.scale), e.a.plain, e.z, e.mask, e.out, f]
    return [Operation(Code.HIDDEN_ERROR, fields, n * n_in * m, shares_features=not by_columns)]


def gradient(context: Context, e: Gradient) -> Operations | None:
    """BP3, BP4: [w b] ← α δ [a; 1]ᵀ + β [w b]."""
    if isinstance(e.a, SparseColumns):
        return None
    x, into = e.a.ones, e.into.wb[e.layer]
    (n, k), m = into.shape, x.shape[1]
    alpha, beta = context.cell(e.alpha.times(e.a.scale)), context.cell(e.beta)
    return [Operation(Code.GRADIENT, [n, k, m, e.delta, x, k, alpha, beta, into], n * k * m)]


# vectors in θ's layout


def scale(context: Context, e: Scale) -> Operations:
    """x ← α x."""
    alpha = context.cell(e.alpha)
    return [Operation(Code.SCALE, [*block, alpha, x]) for block, x in _blocks(e.x)]


def add(context: Context, e: Add) -> Operations:
    """into ← into + α x."""
    alpha, both = context.cell(e.alpha), zip(_blocks(e.x), _blocks(e.into), strict=True)
    return [Operation(Code.ADD, [*block, alpha, x, y]) for (block, x), (_, y) in both]


def step(context: Context, e: Step) -> Operations | None:
    """θ moves along g by the rule."""
    place = source.place_of_rule(e.rule)
    if place is None:
        return None
    own = [getattr(e.rule, name) for name in e.rule.constants]
    constants = np.array([*own, *[0.0] * (CONSTANTS - len(own))])
    states = [[x for _, x in _blocks(Part(state))] for state in e.states]
    vectors = zip(_blocks(Part(e.theta)), _blocks(Part(e.g)), *states, strict=True)
    counts = [] if e.steps is None else [Operation(Code.COUNT, [e.steps])]
    eta = context.cell(e.eta)
    return counts + [
        Operation(Code.STEP, [*block, place, constants, e.steps, eta, x, g, *kept])
        for (block, x), (_, g), *kept in vectors
    ]


def _blocks(part: Part) -> Iterator[tuple[tuple[int, int, int], Array]]:
    """Yield a part of the parameters by layer: (n, n_in, its size), by which threads share it, and itself."""
    layout, flat = part.of.layout, part.flat
    if part.kind != "all":
        n, n_in = part.of.w[part.layer].shape
        yield (n, 0 if part.kind == "norm" else n_in, len(flat)), flat
        return
    starts, end = layout.blocks(flat.itemsize)
    for start, stop, w in zip(starts, [*starts[1:], end], part.of.w[1:], strict=True):
        yield (*w.shape, stop - start), flat[start:stop]


def set_rates(context: Context, e: SetRates) -> Operations:
    """Every scalar ← p + q η, with η of the pass's step."""
    scalars = e.scalars
    return [Operation(Code.SET_RATES, [CAPACITY, 0, scalars.p, scalars.q, scalars.values])]


def nothing(context: Context, e: RefreshLowPrecision) -> Operations:
    """Do nothing: products read θ itself."""
    return []


# the outputs


def measure(context: Context, e: Measure) -> Operations | None:
    """Write each example's loss and hit into the pass."""
    loss = source.place_of_loss(e.cost, e.f)
    if loss is None:
        return None
    of_label = e.one_hot and e.cost.of_targets and e.f.by_column
    fields = [*e.y.shape, e.a.plain, e.y, e.z, e.labels, loss, of_label, float(e.cost.threshold)]
    return [Operation(Code.MEASURE, [*fields, e.p.losses, e.p.hits])]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    Gather: gather,
    Forward: forward,
    Affine: affine,
    OutputError: output_error,
    ApplyWeights: apply_weights,
    HiddenError: hidden_error,
    Gradient: gradient,
    Scale: scale,
    Add: add,
    Step: step,
    SetRates: set_rates,
    RefreshLowPrecision: nothing,
    Measure: measure,
}


class Lowering:
    """Lowers equations to programs of operations, and to NumPy's calls between them.

    Args:
        numpy: lowers an equation that has no operations.

    Attributes:
        calls: the bound calls so far, without the operations that follow them.
        largest: the largest product.
    """

    def __init__(self, kernels: Kernels, context: Context, p: Pass | None, numpy: Lower) -> None:
        self.kernels, self.context, self.p, self.numpy = kernels, context, p, numpy
        self.known: dict[int, tuple[Equation, Operations | None]] = {}
        self.calls: Calls = []
        self.largest: Operation | None = None
        self.pending: Operations = []
        self.steps = 0

    def lower(self, equations: Iterable[Equation]) -> Calls:
        """Return the calls of all equations."""
        for equation in equations:
            if isinstance(equation, NextStep) and self.pending:
                self.steps += 1
            elif (found := self._operations(equation)) is None:
                self._end_program()
                self.calls += self.numpy(equation)
            else:
                self._add(found)
        self._end_program()
        return self.calls

    def _operations(self, equation: Equation) -> Operations | None:
        """Return the operations of an equation, made once."""
        if id(equation) not in self.known:
            function = LOWER.get(type(equation))
            self.known[id(equation)] = equation, function(self.context, equation) if function else None
        return self.known[id(equation)][1]

    def _add(self, operations: Operations) -> None:
        for operation in operations:
            if operation.code is Code.SET_RATES:
                operation = operation.ahead(self.steps)
            if operation.code is Code.FORWARD and operation.work > (self.largest.work if self.largest else 0):
                self.largest = operation
            self.pending.append(operation)

    def _end_program(self) -> None:
        if self.pending:
            self.calls.append(Program(self.kernels, self.pending, self.p, self.steps))
        self.pending, self.steps = [], 0

    def product(self) -> Product | None:
        """Return the largest product, into what a step writes before it reads; None if it is small."""
        if self.largest is None or self.largest.work < WORTH_SHARING:
            return None
        return Product(Program(self.kernels, [self.largest], None, 0), self.largest.work)
