"""Describe columns for `gpunn train`: what was decided about each, and which of them drive the network."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from gpunn.cli.output import printable
from gpunn.names import counted, listed
from gpunn.tables.decisions import Decision
from gpunn.tables.leaks import Leak

MOST, FIRST = 24, 20  # columns in the table; of more, the first ones, and the rest is counted
NAMED = 8  # columns that are left out among the rest
IMPORTANT = 5  # columns that are named as the most important ones
HEAD = "column", "kind", "values", "missing", "used as"
WIDEST = 24, 14, 34, 11  # characters
USE = 24  # characters for how a column is used, at least
LEAST = 8  # characters for values; with less room they are left out
GAP = "  "


def describe_columns(decisions: Sequence[Decision]) -> list[str]:
    """Return the lines of a table that fits the terminal, with few lines for a table of many columns."""
    shown = decisions if len(decisions) <= MOST else decisions[:FIRST]
    rows = [HEAD, *([printable(" ".join(cell.split())) for cell in _cells(each)] for each in shown)]
    width = max(shutil.get_terminal_size((100, 24)).columns, 40)
    widths = [
        min(max(map(cell_len, column)), most)
        for column, most in zip(zip(*rows, strict=True), WIDEST, strict=False)
    ]
    lacking = sum(widths) + len(GAP) * len(widths) + USE - width
    for k, least in ((2, 16), (0, 12), (2, LEAST)):
        taken = min(max(lacking, 0), max(widths[k] - least, 0))
        widths[k], lacking = widths[k] - taken, lacking - taken
    if lacking > 0:
        widths[2] = 0
    return [*(line for row in rows for line in _lines(row, widths, width)), *_rest(decisions[len(shown) :])]


def _cells(each: Decision) -> Sequence[str]:
    missing = "" if each.missing is None else f"{each.missing:,}"
    return each.name, each.kind, each.values, missing, each.use or f"left out: {each.why}"


def _lines(row: Sequence[str], widths: Sequence[int], width: int) -> Iterator[str]:
    """Yield the lines of a row. The last cell may take several; the others are cut off."""
    *cells, use = row
    name, kind, values, missing = (_fitted(cell, n) for cell, n in zip(cells, widths, strict=True))
    missing = missing.strip().rjust(widths[3])
    start = GAP.join(cell for cell in (name, kind, values, missing) if cell) + GAP
    parts = textwrap.wrap(use, max(width - cell_len(start), USE)) or [""]
    yield (start + parts[0]).rstrip()
    yield from (" " * cell_len(start) + part for part in parts[1:])


def _fitted(cell: str, width: int) -> str:
    return set_cell_size(cell if cell_len(cell) <= width else f"{set_cell_size(cell, width - 1)}…", width)


def _rest(decisions: Sequence[Decision]) -> Iterator[str]:
    """Yield a line about the columns that have no line of their own."""
    if decisions:
        kinds = Counter(each.kind for each in decisions if each.use)
        counts = [f"{n:,} × {kind}" for kind, n in kinds.most_common()]
        left_out = [printable(each.name) for each in decisions if not each.use]
        named = f"; left out: {listed(left_out, NAMED)}" if left_out else ""
        yield f"… and {counted(len(decisions), 'more column')}: {', '.join(counts)}{named}"


def describe_drivers(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines about the columns that drive the network, and about columns that may leak the target."""
    if columns := result.get("importance", {}).get("columns"):
        fall = [f"{printable(name)} {value:.3g}" for name, value in list(columns.items())[:IMPORTANT]]
        score = result["importance"]["score"]
        yield f"most important columns (loss of {score} if shuffled): {', '.join(fall)}"
    yield from (Leak(**leak).describe() for leak in result.get("leaks", ()))
