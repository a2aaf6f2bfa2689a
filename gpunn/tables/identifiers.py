"""Columns that tell rows apart and nothing else: row numbers and identifiers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from gpunn.tables.preprocessing import DATE
from gpunn.tables.table import Column, Table

FEWEST = 20  # rows from which it is no coincidence that values differ or count
NAMED_ID = re.compile(r"(?i:(?:^|.*[ _.-])(?:id|uid|uuid|guid|index))|.*[a-z](?:Id|ID)")
DISTINCT = "different in every row, like an identifier or free text"


def mark_identifiers(table: Table) -> Table:
    """Mark as dropped the columns that count the rows, and identifiers.

    An identifier is a string that differs in every row, or a whole number that does, if the column's name
    says so, as in "customer_id".
    """
    if len(table.rows) < FEWEST:
        return table
    found = {column.name: _why(column, table.rows[:, j]) for j, column in enumerate(table.columns)}
    return replace(table, dropped={name: why for name, why in found.items() if why})


def _why(column: Column, x: np.ndarray) -> str:
    """Return the reason to drop a column with the values x (m,), or ""."""
    if column.texts:
        differ = _differ(x, column.texts.many)
        return DISTINCT if differ and not all(map(DATE.fullmatch, column.texts.codes)) else ""
    if column.origin + float(x[0]) in (0, 1) and (np.diff(x) == 1).all():
        return "counts the rows"
    whole = NAMED_ID.fullmatch(column.name) and (x == np.rint(x)).all()
    return DISTINCT if whole and len(np.unique(x)) == len(x) else ""


def _differ(x: np.ndarray, many: bool) -> bool:
    """Return whether the strings with the codes x (m,) all differ.

    many: there are more strings than are kept. Those that are not have no code, and follow those that are.
    """
    known = int(np.count_nonzero(~np.isnan(x)))
    if known < FEWEST or (known < len(x) and not many):
        return False
    return bool(len(np.unique(x[:known])) == known and not np.isnan(x[:known]).any())
