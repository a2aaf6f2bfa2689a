"""Decisions about the columns of a table: the kind, the values, and the inputs of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gpunn.names import counted
from gpunn.tables.dated import Dated
from gpunn.tables.dates import DAY, EPOCH
from gpunn.tables.options import TableOptions
from gpunn.tables.preprocessing import Category, Number, Preprocessing
from gpunn.tables.table import MOST_TEXTS, NUMBER, Column, Table, number_text
from gpunn.tables.target import Classes, Target

BLOCK = 1 << 14  # rows
NAMED = 5  # strings that are named
WHOLE = 1e15  # whole numbers below are written with all digits


@dataclass(frozen=True)
class Decision:
    """A decision about a column.

    Attributes:
        name: the column's name.
        kind: "number", "number (€)", "category", "date" or "text".
        values: what the column holds, in words: the range of numbers, or some of the strings.
        missing: the number of missing values; None if it was not counted.
        use: how a network sees the column, in words; "" if it was left out.
        why: the reason why it was left out; "" if it is in use.
    """

    name: str
    kind: str
    values: str
    missing: int | None
    use: str = ""
    why: str = ""


@dataclass(frozen=True)
class Seen:
    """A summary of the values of a column.

    Attributes:
        missing: the number of missing values; None if it is unknown.
        low, high: the range of its numbers; NaN without any.
    """

    missing: int | None
    low: float = np.nan
    high: float = np.nan


def look_at(table: Table) -> dict[str, Seen]:
    """Return what the columns of a table hold, which preparing the table overwrites."""
    n = len(table.columns)
    missing, low, high = np.zeros(n, np.intp), np.full(n, np.nan), np.full(n, np.nan)
    for start in range(0, len(table.rows), BLOCK):
        block = table.rows[start : start + BLOCK]
        missing += np.isnan(block).sum(axis=0)
        low, high = np.fmin(low, np.fmin.reduce(block)), np.fmax(high, np.fmax.reduce(block))
    return {
        column.name: Seen(None)
        if column.texts and column.texts.many
        else Seen(int(missing[j]), column.origin + float(low[j]), column.origin + float(high[j]))
        for j, column in enumerate(table.columns)
    }


def decisions(
    table: Table, seen: Mapping[str, Seen], fitted: Preprocessing, target: Target, options: TableOptions
) -> Iterator[Decision]:
    """Yield what was decided about each column of the file, in its order."""
    source = table.source
    dates = source.dates if isinstance(source, Dated) else {}
    steps = {step.name: step for step in fitted.columns}
    columns = {column.name: column for column in table.columns}
    for name, kind in (source.source if isinstance(source, Dated) else source).kinds.items():
        if name == target.name:
            yield _of_target(table, target)
        elif name in options.drop:
            yield Decision(name, kind, "", None, why="--drop")
        elif name in dates:
            yield _of_dates(name, [f"{name} {part}" for part in dates[name].parts], seen, fitted)
        elif columns[name].texts:
            yield _of_strings(columns[name], seen[name], steps.get(name), fitted)
        else:
            unit = table.spellings[name].unit if name in table.spellings else ""
            yield _of_numbers(name, unit, seen[name], steps.get(name), fitted)


def _of_target(table: Table, target: Target) -> Decision:
    assert table.y is not None
    if isinstance(target, Classes):
        values = of_classes(target, np.bincount(table.y, minlength=target.n_out))
        return Decision(target.name, "category", values, 0, "the target")
    return Decision(target.name, NUMBER, in_range(table.y.min(), table.y.max()), 0, "the target")


def of_classes(target: Classes, counts: np.ndarray) -> str:
    """Write the most frequent classes with their counts (n_out,)."""
    most = sorted(zip(target.classes, counts.tolist(), strict=True), key=lambda pair: -pair[1])[:NAMED]
    return ", ".join(f"{name} × {n:,}" for name, n in most) + (", …" if target.n_out > NAMED else "")


def _of_dates(name: str, parts: Sequence[str], seen: Mapping[str, Seen], fitted: Preprocessing) -> Decision:
    """Return the decision on a column of dates, which became columns of numbers."""
    days = seen[f"{name} days"]
    ends = [] if np.isnan(days.low) else [EPOCH + days.low * DAY, EPOCH + days.high * DAY]
    values = " … ".join(f"{moment:%Y-%m-%d}" for moment in ends)
    used = [part.removeprefix(f"{name} ") for part in parts if part in fitted.kinds]
    why = "" if used else fitted.dropped[f"{name} days"]
    return Decision(name, "date", values, days.missing, ", ".join(used), why)


def _of_strings(column: Column, seen: Seen, step: object, fitted: Preprocessing) -> Decision:
    assert column.texts
    texts = list(column.texts.codes)
    if isinstance(step, Category):
        named = sorted(text for text in step.categories[:-1] + step.categories[-1:] if text is not None)
        values = f"{len(named):,}: {', '.join(named[:NAMED])}{', …' if len(named) > NAMED else ''}"
        return Decision(
            column.name, "category", values, seen.missing, f"one-hot, {counted(step.features, 'input')}"
        )
    number = f"more than {MOST_TEXTS:,}" if column.texts.many else f"{len(texts):,}"
    values = f"{number}, such as {texts[0]}" if texts else ""
    return Decision(column.name, "text", values, seen.missing, why=fitted.dropped[column.name])


def _of_numbers(name: str, unit: str, seen: Seen, step: object, fitted: Preprocessing) -> Decision:
    kind, values = f"{NUMBER} ({unit})" if unit else NUMBER, in_range(seen.low, seen.high)
    if not isinstance(step, Number):
        return Decision(name, kind, values, seen.missing, why=fitted.dropped[name])
    use = ["standardised" if step.clip is None else "scaled"]
    if step.codes:
        use.append(counted(step.codes, "code"))
    if step.gaps or seen.missing:
        use.append("missing flagged" if step.gaps else f"missing as {in_short(step.fill)}")
    return Decision(name, kind, values, seen.missing, ", ".join(use))


def in_range(low: float, high: float) -> str:
    """Write the range of numbers."""
    if np.isnan(low):
        return ""
    return in_short(low) if low == high else f"{in_short(low)} … {in_short(high)}"


def in_short(value: float) -> str:
    """Write a number with at most six digits, unless it is whole."""
    return number_text(value) if value == round(value) and abs(value) < WHOLE else f"{value:.6g}"
