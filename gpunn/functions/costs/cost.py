"""The record of a cost: C and its gradient with all their spellings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from gpunn.functions.activations import ACTIVATIONS, Activation, is_own
from gpunn.functions.calls import Array, Calls, check_shape

Spelling: TypeAlias = Callable[[Array, Array, Array], Calls]


@dataclass(frozen=True)
class Cost:
    """One cost, elementwise (hinge: by column). Your own: `Cost.from_functions`.

    Attributes:
        name: its name in code, on the command line and in model files.
        loss: loss(a, y, out) returns the calls that write each output's share of the cost, all (n, m).
        gradient: gradient(a, y, out) returns the calls that write ∂C/∂a, all (n, m).
        cuda: (loss, gradient) as C expressions in a and y; None if there is no elementwise CUDA spelling.
        pairs_with: the activation for which f′ ⊙ ∂C/∂a is just a − y.
        loss_of_z: loss_of_z(z, y, out) writes the loss in terms of that activation's z, if that is safer.
        cuda_of_z: the same loss as a C expression in z and y.
        cuda_columns: (loss, gradient) as kernels of kernels.cu, one warp per column, for a cost that couples
            outputs or tells them apart.
        cuda_parameters: further arguments of these kernels; `cuda` calls the first of them PARAMETER.
        domain: the open interval of outputs for which it is defined; it counts as level outside. Targets may
            also be at the ends.
        of_labels: it is only defined for class labels.
        of_targets: an output whose target is 0 costs nothing.
        threshold: a single output above it means class 1.
        latex: C as LaTeX, for one example.
        source: the paper or chapter that introduced it.
    """

    name: str
    loss: Spelling
    gradient: Spelling
    cuda: tuple[str, str] | None
    pairs_with: str | None = None
    loss_of_z: Spelling | None = None
    cuda_of_z: str | None = None
    cuda_columns: tuple[str, str] | None = None
    cuda_parameters: tuple[float, ...] = ()
    domain: tuple[float, float] = (-math.inf, math.inf)
    of_labels: bool = False
    of_targets: bool = False
    threshold: float = 0.5
    latex: str | None = None
    source: str = ""

    @classmethod
    def from_functions(
        cls,
        loss: Callable[[Array, Array], Array],
        gradient: Callable[[Array, Array], Array],
        name: str = "custom",
        cuda: tuple[str, str] | None = None,
    ) -> Cost:
        """Make a cost from two elementwise NumPy functions of (a, y): the loss and ∂loss/∂a.

        Args:
            loss: maps a and y (n, m) to each output's share of the cost (n, m).
            gradient: maps a and y (n, m) to the derivative of the loss by a (n, m).
            name: for error messages; a network with a function of your own cannot be saved.
            cuda: loss and gradient in `a` and `y`, as C expressions; required on a GPU.

        >>> squared_log = gpunn.Cost.from_functions(
        ...     lambda a, y: np.log(a / y) ** 2, lambda a, y: 2 * np.log(a / y) / a
        ... )
        >>> net = gpunn.Network(4, [gpunn.Dense(3), gpunn.Dense(1, "exp")], cost=squared_log, seed=0)
        >>> gpunn.check_gradients(net, np.eye(4), [0.5, 1.5, 2.0, 1.0]) < 1e-6
        True
        """
        return cls(name, partial(_apply, loss, "the loss"), partial(_apply, gradient, "the gradient"), cuda)

    def defined_after(self, f: Activation) -> bool:
        """Whether all values of this activation lie in the domain."""
        return self.domain[0] <= f.values[0] and f.values[1] <= self.domain[1]

    def doubts_about(self, f: Activation) -> str:
        """The warning if this activation's values can leave the domain, else an empty string."""
        if self.defined_after(f):
            return ""
        low, high = self.domain
        outputs = f"above {low:g}" if high == math.inf else f"in ({low:g}, {high:g})"
        better = " or ".join(other.name for other in ACTIVATIONS.values() if self.defined_after(other))
        return (
            f"{self.name} is defined for outputs {outputs}, but {f.name} can leave that interval, "
            f"and nothing is learnt from an output outside it: use {better}"
        )

    def pairs(self, f: Activation) -> bool:
        """Whether f′ ⊙ ∂C/∂a after this activation is just a − y."""
        return self.pairs_with == f.name and not is_own(f)

    @property
    def needs_distributions(self) -> bool:
        """Whether f′ ⊙ ∂C/∂a is a − y only if the targets of each example sum to 1, as after softmax."""
        return self.pairs_with is not None and ACTIVATIONS[self.pairs_with].by_column

    def unpaired(self) -> Cost:
        """This cost without the a − y shortcut, for targets that do not sum to 1."""
        return replace(self, pairs_with=None)

    def reads_z(self, f: Activation) -> bool:
        """Whether the loss after this activation is computed from z."""
        return self.loss_of_z is not None and self.pairs(f)

    def loss_calls(self, f: Activation, a: Array, y: Array, z: Array, out: Array) -> Calls:
        """The calls that write the loss after this activation, from z if that is safer."""
        if self.loss_of_z is not None and self.reads_z(f):
            return self.loss_of_z(z, y, out)
        return self.loss(a, y, out)


def _apply(function: Callable[[Array, Array], Array], what: str, a: Array, y: Array, out: Array) -> Calls:
    """out ← function(a, y), for a function of the user's."""
    return [lambda: np.copyto(out, check_shape(function(a, y), a, what))]


def member_name(family: str, parameter: float, usual: float) -> str:
    """The name by which `get` finds this member of the family."""
    return family if parameter == usual else f"{family}({float(parameter)!r})"
