"""Read a table to train on: decide which strings are numbers, and leave out rows without a target."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from gpunn.names import counted, listed
from gpunn.tables.reader import read
from gpunn.tables.spelling import Evidence, Spelling, is_plain, is_written_number
from gpunn.tables.table import NUMBER, TEXT, Column, NotANumberError, Source, Table, number_text, quoted

MANY, MOSTLY = 20, 0.9  # if more of a column's distinct strings are numbers, the others are mistakes
SHOWN = 5  # lines that are named in a remark
BLOCK = 1 << 14  # rows

Spelt = tuple[Spelling, str]  # a spelling, and an example of it


def read_to_train(
    source: Source,
    kinds: Mapping[str, str],
    target: str,
    dtype: DTypeLike,
    category: Collection[str] = (),
    missing: Collection[str] = (),
) -> Table:
    """Read the columns of `kinds`, and those strings as numbers that people read as numbers.

    Columns of `category` stay strings, and the words of `missing` stand for missing values.

    Raises ValueError if a column is mostly numbers and not all of them can be read.
    """
    strings = [name for name, kind in kinds.items() if kind == TEXT and name not in category]
    spelt = judge(source, strings, missing)
    try:
        table = _read(source, kinds, target, dtype, spelt, missing)
    except NotANumberError as error:  # the first lines had plain numbers only
        spelt |= judge_again(error, source, [name for name, kind in kinds.items() if kind == NUMBER], missing)
        table = _read(source, kinds, target, dtype, spelt, missing)
    assert table.target
    columns = [column for column in (*table.columns, table.target) if column.name not in category]
    remarks = [describe_spelt(spelt)] if spelt else []
    remarks += _remark_on_strings(source, columns)
    return leave_out_missing_targets(replace(table, notes=(*table.notes, *remarks)))


def _read(
    source: Source,
    kinds: Mapping[str, str],
    target: str,
    dtype: DTypeLike,
    spelt: Mapping[str, Spelt],
    missing: Collection[str],
) -> Table:
    spellings = {name: spelling for name, (spelling, _) in spelt.items()}
    kinds = {name: NUMBER if name in spelt else kind for name, kind in kinds.items()}
    table = read(source, kinds, target, dtype, spellings=spellings, missing=missing)
    return replace(table, spellings=spellings)


def judge(
    source: Source, names: Iterable[str], missing: Collection[str] = (), *, typed: bool = True
) -> dict[str, Spelt]:
    """Return the spelling, and an example of it, of each column of strings that holds only numbers.

    Reads these columns until each has a string that is not a number. If a comma or a point may either mark
    decimals or group thousands in the whole column, as in "1,200", the decimal mark of the file decides.
    missing: further words that stand for a missing value. typed: in a source with types, such as a DataFrame,
    strings of digits are strings.
    """
    found = {name: Evidence() for name in names}
    if not found:
        return {}
    for batch in source.batches(dict.fromkeys(found, TEXT)):
        for name, evidence in found.items():
            for text in batch[name][1]:
                if not evidence.possible:
                    break
                if text and text not in missing:
                    evidence.add(text)
        if not any(evidence.possible for evidence in found.values()):
            return {}
    return {
        name: (evidence.spelling(source.point or "."), evidence.example or evidence.first)
        for name, evidence in found.items()
        if evidence.possible and (evidence.example or (evidence.first and (source.point or not typed)))
    }


def judge_again(
    error: NotANumberError, source: Source, names: Iterable[str], missing: Collection[str] = ()
) -> dict[str, Spelt]:
    """Return the spellings of columns that were expected to hold plain numbers, and hold other ones.

    Raises the error if its column does not hold numbers of one spelling.
    """
    found = judge(source, names, missing, typed=False)
    if error.column not in found:
        raise error
    return {name: how for name, how in found.items() if name == error.column or not is_plain(how[1])}


def describe_spelt(spelt: Mapping[str, Spelt]) -> str:
    """Say how columns are read, with an example of each.

    >>> from gpunn.tables.interpreting import describe_spelt
    >>> from gpunn.tables.spelling import Spelling
    >>> describe_spelt({"price": (Spelling(unit="$"), "$1,234.50")})
    "read as numbers: price ('$1,234.50' is 1234.5)"
    """
    columns = []
    for name, (spelling, example) in spelt.items():
        value = spelling.number(example)
        assert value is not None
        how = "spaces removed" if is_plain(example) else f"{quoted(example)} is {number_text(value)}"
        columns.append(f"{name} ({how})")
    return f"read as numbers: {listed(columns)}"


def _remark_on_strings(source: Source, columns: Iterable[Column]) -> Iterator[str]:
    """Yield a line for each column of strings of which at least half are numbers.

    Raises ValueError if the numbers are many and almost all: the other strings must be mistakes.
    """
    if source.point is None:
        return
    for column in columns:
        if not column.texts:
            continue
        numbers, texts = sum(map(is_written_number, column.texts.codes)), len(column.texts.codes)
        if numbers < max(2, texts / 2) or (odd := source.odd_one(column.name)) is None:
            continue
        if numbers > max(MANY, MOSTLY * texts):
            raise NotANumberError.at(source.name, *odd, column.name)
        place, text = odd
        hint = f"; --missing {quoted(text)} takes it for a missing value" if texts - numbers == 1 else ""
        yield f"column '{column.name}' is read as strings: {place} has {quoted(text)} among numbers{hint}"


def leave_out_missing_targets(table: Table) -> Table:
    """Return the table without the rows that lack the target, with a remark; its rows are moved in place.

    Raises ValueError if all rows lack it.
    """
    assert table.target and table.y is not None
    gaps = np.isnan(table.y)
    if not gaps.any() or (table.target.texts and table.target.texts.many):
        return table
    if gaps.all():
        raise ValueError(f"{table.name}: the target '{table.target.name}' is missing in every row")
    places = [table.place(int(row)) for row in np.flatnonzero(gaps)[:SHOWN]]
    left_out = counted(int(gaps.sum()), "row")
    more = ", …" if gaps.sum() > SHOWN else ""
    note = f"{table.name}: left out {left_out} without the target '{table.target.name}': "
    note += f"{', '.join(places)}{more}"
    kept = np.flatnonzero(~gaps)
    for start in range(0, len(kept), BLOCK):
        part = kept[start : start + BLOCK]
        table.rows[start : start + len(part)] = table.rows[part]
    return replace(
        table, rows=table.rows[: len(kept)], y=table.y[kept], kept=kept, notes=(*table.notes, note)
    )
