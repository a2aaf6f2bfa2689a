"""An ONNX graph that is being built."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from gpunn.tables.table import is_far


@dataclass
class Graph:
    """A graph being built: operators in execution order, and the constants that they read.

    taken: the names of a table's columns, which are the names of the inputs.
    prefix: what the names of one of several networks begin with.
    """

    taken: Collection[str] = ()
    prefix: str = ""
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def name(self, name: str) -> str:
        """Put the prefix before a name, and append _ until no input has it."""
        name = f"{self.prefix}{name}"
        while name in self.taken:
            name += "_"
        return name

    def add(self, operator: str, *inputs: str, out: str, **attributes: Any) -> str:
        """Add an operator with one output, and return the output's name."""
        out = self.name(out)
        self.nodes.append(helper.make_node(operator, inputs, [out], name=f"{out}:{operator}", **attributes))
        return out

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant, and return its name."""
        name = self.name(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name


def kind_of_number(mean: float, scale: float) -> Any:
    """Return the ONNX type that holds numbers of this mean and spread without losing the spread."""
    return TensorProto.DOUBLE if is_far(mean, scale) else TensorProto.FLOAT
