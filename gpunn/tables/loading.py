"""Load a table: choose the columns to read, read them, and choose the task."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpunn.names import listed, unknown
from gpunn.tables.dated import with_dates
from gpunn.tables.identifiers import mark_identifiers
from gpunn.tables.interpreting import read_to_train
from gpunn.tables.options import TableOptions
from gpunn.tables.quantity import REGRESSION, Quantity
from gpunn.tables.reading import open_table
from gpunn.tables.table import MOST_TEXTS, TEXT, Column, Source, Table
from gpunn.tables.target import MOST_WHOLE, Classes, Target, check_target, class_names

FEW = 20  # up to this many distinct whole numbers are classes, if each appears twice on average


def load(data: Any, options: TableOptions, dtype: DTypeLike) -> tuple[Table, Target]:
    """Read a table, a path or data in memory, and choose the task. The table's y is encoded.

    Raises ValueError if the data do not agree with the options.
    """
    options.check()
    format = options.format(data)
    source = open_table(data, format)
    source, target, kinds = choose_columns(source, options, "y" if format.targets else options.target)
    table = read_to_train(source, kinds, target, dtype, options.categorical, options.missing)
    chosen = choose_target(table, options.task)
    if options.interval is not None:
        chosen = with_intervals(table, chosen, options.interval)
    return mark_identifiers(replace(table, y=chosen.encode(table))), chosen


def choose_columns(
    source: Source, options: TableOptions, target: str | None
) -> tuple[Any, str, dict[str, str]]:
    """Return the source with its dates as numbers, the target, and the columns to read with their kinds."""
    target = _target(source, target)
    _check_options(source, options, target)
    source = with_dates(source, options, target)
    return source, target, _kinds(source, options, target)


def _target(source: Source, name: str | None) -> str:
    """Return the name of the target column."""
    if len(source.kinds) == 1:
        raise ValueError(
            f"{source.name} has only one column, '{next(iter(source.kinds))}'; if another character "
            "separates the columns, name it with --delimiter"
        )
    name = name or source.target
    if name is None:
        example = "y.npy" if source.name.lower().endswith(".npy") else "NAME"
        raise ValueError(
            f"{source.name}: choose the target with --target {example}; the columns are "
            f"{listed(source.kinds)}"
        )
    _check_there(source, [name])
    return name


def _check_there(source: Source, names: Iterable[str]) -> None:
    """Raise ValueError for a name that is not a column."""
    for name in names:
        if name not in source.kinds:
            hint = (
                "; if the file has no header, use --no-header" if source.header and name.isdecimal() else ""
            )
            hint = "; if the first line names the columns, use --header" if source.header is False else hint
            raise ValueError(f"{source.name}: {unknown(name, 'column', source.kinds)}{hint}")


def _check_options(source: Source, options: TableOptions, target: str) -> None:
    """Raise ValueError if an option names a column that is not there, or contradicts another."""
    ways = {"--drop": options.drop, "--categorical": options.categorical, "--date": options.date}
    _check_there(source, [name for names in ways.values() for name in names])
    for one, other in itertools.combinations(ways, 2):
        if both := [name for name in ways[one] if name in ways[other]]:
            raise ValueError(f"{one} and {other} exclude each other: choose one for the column '{both[0]}'")
    if target in options.drop:
        raise ValueError(f"'{target}' is the target and cannot be dropped")
    if target in options.date:
        raise ValueError(f"'{target}' is the target and cannot be read as dates")


def _kinds(source: Source, options: TableOptions, target: str) -> dict[str, str]:
    """Return the columns to read, and NUMBER or TEXT for each."""
    kinds = {name: kind for name, kind in source.kinds.items() if name not in options.drop}
    if len(kinds) == 1:
        raise ValueError(f"{source.name}: no column is left to learn from: all but '{target}' are dropped")
    return {name: TEXT if name in options.categorical else kind for name, kind in kinds.items()}


def choose_target(table: Table, task: str | None) -> Target:
    """Choose classes for strings and few whole numbers, a quantity for other numbers; `task` overrules it.

    Raises ValueError, with the place, if the target is missing somewhere or cannot be learnt.
    """
    assert table.target and table.y is not None
    check_target(table)
    return target_of(table.name, table.target, np.unique(table.y), len(table.y), task)


def target_of(name: str, column: Column, values: np.ndarray, m: int, task: str | None) -> Target:
    """Choose as `choose_target` does, from the distinct values of m rows, in ascending order."""
    few = len(values) <= min(FEW, max(2, m / 2)) and bool((values == np.rint(values)).all())
    number = task == REGRESSION or (task is None and not column.texts and not few)
    _check_values(name, column, values, number)
    return Quantity(column.name) if number else Classes(column.name, column.kind, _in_order(column, values))


def with_intervals(table: Table, target: Target, share: float) -> Quantity:
    """Return the target with prediction intervals. Raises ValueError unless it is a target of numbers."""
    if not isinstance(target, Quantity):
        hint = "" if target.kind == TEXT else "; --task regression treats it as one"
        raise ValueError(f"{table.name}: --interval needs a target of numbers, not '{target.name}'{hint}")
    return replace(target, interval=share)


def _check_values(name: str, column: Column, values: np.ndarray, number: bool) -> None:
    """Raise ValueError if these distinct values cannot be learnt, as numbers or else as classes."""
    target = f"{name}: '{column.name}'"
    if number and column.texts:
        raise ValueError(f"{target} holds strings, but regression needs numbers")
    if not number and not column.texts and np.abs(values).max() > MOST_WHOLE:
        raise ValueError(
            f"{target} has numbers too long to tell apart; --categorical '{column.name}' treats them as "
            "strings"
        )
    if len(values) == 1:
        raise ValueError(f"{target} is always {class_names(column, values)[0]}, so there is nothing to learn")
    if not number and len(values) > MOST_TEXTS:
        raise ValueError(f"{target} has more than {MOST_TEXTS:,} classes")


def _in_order(column: Column, values: np.ndarray) -> tuple[str, ...]:
    """Return the classes' names: numbers in ascending order, strings in alphabetical order."""
    names = class_names(column, values)
    return tuple(sorted(names) if column.texts else names)
