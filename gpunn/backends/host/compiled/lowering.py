"""Programs of operations, made of equations.

Each type of equation has a function that makes its operations. It returns None if the kernels lack what the
equation needs, such as an activation of the user's own. NumPy then computes it between two programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from gpunn.backends.host.compiled import distort, dropout, examples, layers, norm, outputs, vectors
from gpunn.backends.host.compiled.library import Kernels
from gpunn.backends.host.compiled.operations import AHEAD, Operations, Program
from gpunn.backends.host.context import Context
from gpunn.backends.host.equations import derive
from gpunn.core.equations import Activate, Affine, Equation, Forward, HiddenError
from gpunn.core.examples import Pass
from gpunn.core.pass_equations import Advance, NextStep
from gpunn.functions.activations.outputs import IDENTITY
from gpunn.functions.calls import Calls

Lower: TypeAlias = Callable[[Equation], Calls]

LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    **distort.LOWER,
    **dropout.LOWER,
    **examples.LOWER,
    **layers.LOWER,
    **norm.LOWER,
    **vectors.LOWER,
    **outputs.LOWER,
}


def affine_of(e: Forward) -> Affine:
    """Return a Forward without its activation."""
    return Affine(e.layer, e.theta, e.a, e.z)


class Lowering:
    """Lowers equations to programs of operations, and to NumPy's calls between them.

    Args:
        numpy: lowers an equation that has no operations.

    Attributes:
        calls: the bound calls so far, without the operations that follow them.
    """

    def __init__(self, kernels: Kernels, context: Context, p: Pass | None, numpy: Lower) -> None:
        self.kernels, self.context, self.p, self.numpy = kernels, context, p, numpy
        self.known: dict[int, tuple[Equation, Operations | None]] = {}
        self.calls: Calls = []
        self.pending: Operations = []
        self.steps = 0

    def lower(self, equations: Iterable[Equation]) -> Calls:
        """Return the calls of all equations."""
        for equation in equations:
            if isinstance(equation, NextStep) and self.pending:
                self.steps += 1
            elif isinstance(equation, Advance) and self.pending:
                self._end_program(equation.m)
            elif (found := self._operations(equation)) is None:
                self._leave(equation)
            else:
                self._add(found)
        self._end_program()
        return self.calls

    def _leave(self, e: Equation) -> None:
        """Leave an equation to NumPy; of the products with an f or f′ that is not compiled, only f or f′."""
        lower = self.numpy
        if isinstance(e, Forward) and (product := layers.affine(self.context, affine_of(e))) is not None:
            self._add(product)
            e = Activate(e.layer, e.f, e.z, e.out)
        if isinstance(e, HiddenError):
            product = layers.hidden_error(self.context, replace(e, f=IDENTITY, mask=None))
            self._add(product or [])
            lower = partial(derive, self.context)
        self._end_program()
        self.calls += lower(e)

    def _operations(self, equation: Equation) -> Operations | None:
        """Return the operations of an equation, made once."""
        if id(equation) not in self.known:
            function = LOWER.get(type(equation))
            self.known[id(equation)] = equation, function(self.context, equation) if function else None
        return self.known[id(equation)][1]

    def _add(self, operations: Operations) -> None:
        for operation in operations:
            if operation.code in AHEAD:
                operation = operation.ahead(self.steps)
            self.pending.append(operation)

    def _end_program(self, examples: int = 0) -> None:
        if self.pending:
            self.calls.append(Program(self.kernels, self.pending, self.p, self.steps, examples))
        self.pending, self.steps = [], 0
