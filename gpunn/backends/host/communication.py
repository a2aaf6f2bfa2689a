"""Sums over ranks on the CPU: MPI adds up the arrays where they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gpunn.backends.host.context import Context
from gpunn.core.equations import Equation
from gpunn.core.ranks import Share
from gpunn.core.vector_equations import AllReduce
from gpunn.functions.calls import Array, Calls


def all_reduce(context: Context, e: AllReduce) -> Calls:
    """x ← Σ x over all ranks."""
    return [partial(e.ranks.sum, e.x.flat)]


def across(share: Share, x: Array) -> Calls:
    """x ← Σ x over the ranks that share a mini-batch; nothing if one process has all of it."""
    return [partial(share.ranks.sum, x)] if share.ranks else []


LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {AllReduce: all_reduce}
