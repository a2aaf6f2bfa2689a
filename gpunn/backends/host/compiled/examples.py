"""Operations that gather examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backends.host.compiled import sparse
from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.equations import Equation
from gpunn.core.inputs import is_sparse
from gpunn.core.pass_equations import Gather
from gpunn.functions.calls import Array

GATHERED = {
    "uint8": Code.GATHER_BYTES,
    "bool": Code.GATHER_BYTES,
    "int32": Code.GATHER_INT32,
    "int64": Code.GATHER_INT64,
    "float32": Code.GATHER_SINGLE,
    "float64": Code.GATHER_DOUBLE,
}


def gather(context: Context, e: Gather) -> Operations | None:
    """x, y, labels and weights ← those of the next columns of the pass."""
    examples = e.examples
    parts = []
    if isinstance(e.x, SparseColumns):
        if sparse.columns(e.x) is None:
            return None
    elif is_sparse(examples.X):
        parts.append(sparse.gather(examples.X, e.x.ones[:-1]))
    else:
        parts.append(_take(examples.X, e.x.ones[:-1]))
    if examples.targets is not None:
        parts.append(_take(examples.targets, e.y, False))
    if examples.labels is not None:
        parts.append(_labels(e))
    if e.weights is not None:
        parts.append(_take(examples.weights, e.weights, False))
    return None if None in parts else [part for part in parts if part]


def _take(source: Array, out: Array, features: bool = True) -> Operation | None:
    """out (n, c) ← the next c columns of source (n, m). features: whether its rows are those of a[0]."""
    code = GATHERED.get(getattr(source, "dtype", np.dtype(object)).name)
    if code is None or not isinstance(source, np.ndarray):
        return None
    if not (source.dtype.isnative and source.flags.aligned):
        return None
    n, c = out.shape
    down, apart = (stride // source.itemsize for stride in source.strides)
    if (n > 1 and down != 1) or any(stride % source.itemsize for stride in source.strides):
        return None
    fields = [source, apart, n, c, out, out.strides[1] // out.itemsize]
    return Operation(code, fields, shares_features=features)


def _labels(e: Gather) -> Operation | None:
    labels = e.examples.labels
    if labels.dtype != np.intp or not labels.flags.c_contiguous:
        return None
    on_and_off = np.array(e.examples.on_and_off(len(e.y)), e.y.dtype)
    return Operation(Code.LABELS, [labels, len(e.y), len(e.labels), e.labels, e.y, on_and_off])


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {
    Gather: gather,
}
