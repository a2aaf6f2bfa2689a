"""Find the header and the decimal mark of a file without types from its first lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from gpunn.tables.table import quoted

CELLS = 200_000  # to look at, so that a file with many columns opens quickly
SHOWN = 4  # values of a first line in a note
DECIMAL = re.compile(r"\s*[-+]?\d+([.,])\d+\s*")
THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2},\d{3}\s*")  # or a number with a decimal comma
MISSING_WORDS = (
    "?",
    ".",
    "-",
    "--",
    "*",
    "na",
    "n/a",
    "n.a.",
    "#n/a",
    "nan",
    "-nan",
    "null",
    "none",
    "nil",
    "<na>",
    "(null)",
    "nat",
    "missing",
    "unknown",
)


def is_header(
    first: Sequence[str], rows: Sequence[Sequence[str]], is_number: Callable[[str], bool]
) -> bool | None:
    """Return whether the first line names the columns; None if nothing tells, so that it probably does.

    A name above a column of numbers makes it a header. Otherwise, it is data if it has a number above a
    column of numbers, if it has only numbers, or if all its values occur again in their columns.

    Args:
        first: the values of the first line.
        rows: some of the rows below it.
        is_number: whether a value is a number; "" and other missing values are not.
    """
    rows = rows[: max(2, CELLS // max(len(first), 1))]
    columns = [[row[k] for row in rows if k < len(row)] for k in range(len(first))]
    above = [value for value, column in zip(first, columns, strict=True) if _numeric(column, is_number)]
    if any(not is_number(value) and not _is_missing(value) for value in above):
        return True
    filled = [(value, column) for value, column in zip(first, columns, strict=True) if value.strip()]
    if any(map(is_number, above)) or all(is_number(value) for value, _ in filled):
        return False
    return False if all(value in column for value, column in filled) else None


def _numeric(column: Sequence[str], is_number: Callable[[str], bool]) -> bool:
    """Return whether more than half of the values that are not empty are numbers."""
    values = [value for value in column if not _is_missing(value)]
    return sum(map(is_number, values)) > len(values) / 2


def _is_missing(value: str) -> bool:
    return not value.strip() or value.strip().lower() in MISSING_WORDS


def describe_data(first: Sequence[str], delimiter: str) -> str:
    """Say that the first line is read as data, and how to overrule it."""
    shown = delimiter.join([*first[:SHOWN], "…"] if len(first) > SHOWN else first)
    return (
        f"has no header: its first line, {quoted(shown)}, is data, and its columns are named 1 to "
        f"{len(first)}; use --header if the line names them"
    )


def name_nameless(name: str, names: list[str], rows: Sequence[Sequence[str]]) -> None:
    """Name columns without a name by their positions, in place.

    Raises ValueError, naming the file, if more than one of them has values in the first rows.
    """
    nameless = [k for k, column in enumerate(names) if not column]
    filled = [k for k in nameless if any(k < len(row) and row[k].strip() for row in rows)]
    if len(filled) > 1:
        raise ValueError(
            f"{name}: {len(filled):,} columns have no name; name them, or use --no-header if the file has no "
            "header"
        )
    for k in nameless:
        names[k] = f"column {k + 1}"


def sniff_point(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    """Return the decimal mark: a comma if numbers have commas but no points, and it is no delimiter.

    If each comma could also group thousands, as in "1,200", it marks decimals only beside ";" as the
    delimiter: spreadsheets separate columns by ";" in languages with decimal commas.
    """
    if delimiter == ",":
        return "."
    values = [value for row in rows for value in row if DECIMAL.fullmatch(value)]
    commas = values and all("," in value for value in values)
    sure = delimiter == ";" or not all(map(THOUSANDS.fullmatch, values))
    return "," if commas and sure else "."
