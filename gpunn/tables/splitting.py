"""Divide a table into rows to train on and rows to test on, as `TableOptions` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gpunn.names import counted
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import Preparation, PreparedTable, examples_of, prepare, read_for
from gpunn.tables.table import Source, Table
from gpunn.tables.target import Target
from gpunn.training.splitting import sample_each_class

HELD_OUT = 0.2


def split_and_prepare(
    table: Table,
    target: Target,
    options: TableOptions,
    seed: int,
    how: Preparation,
    test: Source | None = None,
) -> PreparedTable:
    """Prepare a table to be tested on another table, by cross-validation or on held-out rows.

    Reorders and overwrites the table's rows, except for cross-validation.

    Raises ValueError for a table or a class that is too small to divide, and for a number outside the cost's
    domain.
    """
    assert table.y is not None
    m = len(table.y)
    target.check_domain(table, how.cost)
    if options.cv:
        _check_size(table, target, options.cv, f"cross-validation with {options.cv} folds")
        return prepare(table, target, m, how)
    if test:
        prepared = prepare(table, target, m, how, reuse=True)
        fitted, target = prepared.preprocessing, prepared.target
        tested = read_for(fitted, target, test, table.rows.dtype, table.spellings, options.missing)
        target.check_domain(tested, how.cost)
        return replace(prepared, test=examples_of(fitted, target, tested))
    _check_size(table, target, 2, "holding some out")
    held = held_out_rows(table.y, target, options, seed)
    if lacking := target.too_few(np.delete(table.y, held)):
        raise ValueError(f"{table.name}: --held-out leaves {lacking} to train on; choose a smaller share")
    last = move_to_end(table.rows, table.y, held)
    prepared = prepare(table, target, m - len(held), how, reuse=True)
    assert prepared.test
    rows = last if table.kept is None else table.kept[last]
    return replace(prepared, test=replace(prepared.test, rows=rows))


def held_out_rows(y: np.ndarray, target: Target, options: TableOptions, seed: int) -> np.ndarray:
    """Return the rows to test on, always the same for the same table, share and seed."""
    share = options.held_out or HELD_OUT
    return sample_each_class(share, target.strata(y), len(y), np.random.default_rng(seed))


def fold_rows(k: int, y: np.ndarray, target: Target, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows to train on, rows to test on) k times; each class keeps its share of both."""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if target.strata(y) is None else StratifiedKFold
    yield from kind(k, shuffle=True, random_state=seed).split(np.empty(len(y)), y)


def move_to_end(rows: np.ndarray, y: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Reorder rows (m, n) and y (m,) in place so that the held-out rows are the last.

    Returns the former places of the last len(held) rows.
    """
    first = len(y) - len(held)
    out = held[held < first]
    into = np.setdiff1d(np.arange(first, len(y)), held, assume_unique=True)
    for array in (rows, y):
        array[out], array[into] = array[into], array[out]
    last = np.arange(first, len(y))
    last[into - first] = out
    return last


def _check_size(table: Table, target: Target, least: int, what: str) -> None:
    """Raise ValueError if the table, or a class, has too few rows."""
    assert table.y is not None
    if len(table.y) < least + 1:
        raise ValueError(f"{table.name} has {counted(len(table.y), 'row')}, too few for {what}")
    target.check_counts(table, least, what)
