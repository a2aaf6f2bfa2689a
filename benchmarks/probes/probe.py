"""Define a probe, and the GPU and the new backends that it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.nets import Net
from gpunn.backends.cuda.backend import Cuda

Row: TypeAlias = dict[str, Any]
MakeBackend: TypeAlias = Callable[[str], Cuda]  # by precision: a new backend on a new device


@dataclass(frozen=True)
class Probe:
    """A measurement that fills a table.

    Attributes:
        name: its name on the command line and in the results.
        title: what it measures, for the table.
        columns: what each column means, by name; the rows have a value for each.
        measure: yields the rows.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    measure: Callable[[MakeBackend], Iterator[Row]]


def label(net: Net) -> str:
    """Return a short name of a network and how it is trained."""
    return f"{net.name} at {net.batch_size:,}, {net.precision}"
