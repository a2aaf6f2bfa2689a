"""Programs of operations, made of equations.

One function an equation's type makes its operations. It returns None if the kernels lack what the equation
needs, such as an activation of the user's own. NumPy then computes this equation between two programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from gpunn.backends.host.compiled import dropout, examples, layers, norm, outputs, vectors
from gpunn.backends.host.compiled.library import Kernels
from gpunn.backends.host.compiled.operations import AHEAD, Operations, Program
from gpunn.backends.host.context import Context
from gpunn.core.equations import Activate, Affine, Equation, Forward
from gpunn.core.examples import Pass
from gpunn.core.pass_equations import Advance, NextStep
from gpunn.functions.calls import Calls

Lower: TypeAlias = Callable[[Equation], Calls]

LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    **dropout.LOWER,
    **examples.LOWER,
    **layers.LOWER,
    **norm.LOWER,
    **vectors.LOWER,
    **outputs.LOWER,
}


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

    def _leave(self, equation: Equation) -> None:
        """Leave an equation to NumPy; of a Forward, its activation alone."""
        if isinstance(equation, Forward):
            e, z = equation, Affine(equation.layer, equation.theta, equation.a, equation.z)
            if (product := layers.affine(self.context, z)) is not None:
                self._add(product)
                equation = Activate(e.layer, e.f, e.z, e.out)
        self._end_program()
        self.calls += self.numpy(equation)

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
