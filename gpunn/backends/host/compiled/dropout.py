"""Operations of dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backends.host.compiled.operations import Code, Operation, Operations
from gpunn.backends.host.context import Context
from gpunn.core.equations import Drop, Equation
from gpunn.functions import randoms


def drop(context: Context, e: Drop) -> Operations:
    """mask ← 0 or 1 at random; a ← a ⊙ mask."""
    kept = e.a.ones[:-1]
    source = kept if e.a.plain is None else e.a.plain
    apart, ld = (x.strides[1] // x.itemsize for x in (source, kept))
    (n, m), least = kept.shape, randoms.threshold(e.rate)
    return [Operation(Code.DROP, [n, 0, m, e.first, e.layer, least, source, apart, e.mask, kept, ld])]


LOWER: dict[type[Equation], Callable[[Context, Any], Operations | None]] = {Drop: drop}
