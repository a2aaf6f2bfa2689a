"""From a file to a problem: which columns are read, what is to be predicted, which rows are held out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import DTypeLike

from gpunn.functions.costs import Cost
from gpunn.names import counted, listed, look_up, unknown
from gpunn.tables.csvfile import CsvFile
from gpunn.tables.preprocessing import mark_row_numbers
from gpunn.tables.problem import Preparation, Problem, examples_for, prepare, read_known
from gpunn.tables.reading import Format, open_table, read, refuse_mistaken
from gpunn.tables.splitting import move_to_end
from gpunn.tables.table import TEXT, Source, Table, number_text
from gpunn.tables.target import CLASSIFICATION, REGRESSION, Classes, Quantity, choose
from gpunn.training.option import Option
from gpunn.training.splitting import sample_each_class

HELD_OUT = 0.2

tables = partial(Option, "Tables")


@dataclass(frozen=True)
class TableOptions:
    """What was asked for that only tables have."""

    target: Annotated[
        str | None,
        tables("Column to predict; for a .npy file, the .npy file of the targets.", "y for a .npz file"),
    ] = None
    task: Annotated[
        str | None,
        tables(
            "Kind of problem: classification or regression.",
            "classification for text and for up to 20 distinct whole numbers",
        ),
    ] = None
    test: Annotated[str | None, tables("Test on this table instead of on held-out rows.", metavar="FILE")] = (
        None
    )
    held_out: Annotated[float | None, tables("Fraction of the rows to hold out for testing.", "0.2")] = None
    cv: Annotated[
        int | None,
        tables("Test by cross-validation with this many folds, then train on all rows.", least=2),
    ] = None
    category: Annotated[
        tuple[str, ...], tables("Treat this numeric column as categories; may be repeated.")
    ] = ()
    ignore: Annotated[tuple[str, ...], tables("Ignore this column; may be repeated.")] = ()
    impute: Annotated[str | None, tables("Replace missing numbers by: median or mean.", "median")] = None
    delimiter: Annotated[
        str | None,
        tables(
            "Character that separates the columns of a CSV file.", "detected: , ; tab or |", metavar="CHAR"
        ),
    ] = None
    header: Annotated[
        bool | None,
        tables("Whether the first line names the columns; without names they are 1, 2, ….", "detected"),
    ] = None

    def chosen(self) -> list[str]:
        """The names of those that were given."""
        return [f.name for f in fields(self) if getattr(self, f.name) not in (None, (), [])]

    def absolute(self) -> TableOptions:
        """With whole paths, so that the files are found from anywhere."""
        y = str(Path(self.target).absolute()) if self.target and self.target.endswith(".npy") else self.target
        return replace(self, target=y, test=str(Path(self.test).absolute()) if self.test else None)

    def format(self, path: Path) -> Format:
        """How that file is to be read; of a .npy file the targets may lie in another."""
        beside = Path(self.target or "")
        apart = beside.suffix == path.suffix.lower() == ".npy"
        return Format(self.delimiter, self.header, beside if apart else None)

    def check(self) -> None:
        """ValueError for what is unknown, out of range, or does not go together."""
        if self.task:
            look_up(dict.fromkeys((CLASSIFICATION, REGRESSION)), self.task, "task")
        if self.impute:
            look_up(dict.fromkeys(("median", "mean")), self.impute, "imputation")
        if self.held_out is not None and not 0 < self.held_out < 1:
            raise ValueError(f"--held-out must be between 0 and 1, not {self.held_out}")
        apart = [f"--{name.replace('_', '-')}" for name in ("test", "cv", "held_out") if getattr(self, name)]
        if len(apart) > 1:
            raise ValueError(f"{' and '.join(apart)} are ways to test that exclude each other: choose one")


def load(path: Path, options: TableOptions, dtype: DTypeLike) -> tuple[Table, Classes | Quantity]:
    """A table with its target encoded, and what that is. ValueError where file and options do not agree."""
    options.check()
    format = options.format(path)
    source = open_table(path, format)
    target = _target(source, "y" if format.targets else options.target)
    kinds = _kinds(source, options, target)
    table = read(source, kinds, target, dtype)
    found = [*table.columns, table.target] if table.target else table.columns
    refuse_mistaken(source, [column for column in found if column.name not in options.category])
    chosen = choose(table, options.task)
    return mark_row_numbers(replace(table, y=chosen.encode(table))), chosen


def _target(source: Source, name: str | None) -> str:
    if len(source.kinds) == 1:
        raise ValueError(
            f"{source.path} has one column only, '{next(iter(source.kinds))}': a table has more; are they "
            "divided by something else (--delimiter)?"
        )
    if name is None and source.path.suffix.lower() == ".npz" and "y" in source.kinds:
        return "y"
    if name is None:
        ask = "y.npy" if source.path.suffix.lower() == ".npy" else "NAME"
        raise ValueError(
            f"{source.path}: which is the target? Say --target {ask}; there are {listed(source.kinds)}"
        )
    _check_there(source, [name])
    return name


def _check_there(source: Source, names: Iterable[str]) -> None:
    for name in names:
        if name not in source.kinds:
            headed = isinstance(source, CsvFile) and source.header and name.isdecimal()
            hint = "; or has the file no header? then --no-header" if headed else ""
            raise ValueError(f"{source.path}: {unknown(name, 'column', source.kinds)}{hint}")


def _kinds(source: Source, options: TableOptions, target: str) -> dict[str, str]:
    """What to read, and as what."""
    _check_there(source, [*options.category, *options.ignore])
    if target in options.ignore:
        raise ValueError(f"'{target}' is the target and cannot be ignored")
    kinds = {name: kind for name, kind in source.kinds.items() if name not in options.ignore}
    if len(kinds) == 1:
        raise ValueError(f"{source.path}: no column is left to learn from: all but '{target}' are ignored")
    return {name: TEXT if name in options.category else kind for name, kind in kinds.items()}


def pose(
    table: Table, target: Classes | Quantity, options: TableOptions, seed: int, how: Preparation
) -> Problem:
    """What to train on and to test on. Reorders and overwrites the rows, unless for cross-validation.

    ValueError for a class or a table too small to be divided, and for a number beyond the cost's.
    """
    assert table.y is not None
    m = len(table.y)
    _check_domain(table, target, how.cost)
    if options.cv:
        _check_parts(table, target, options.cv, f"cross-validation with {options.cv} parts")
        return prepare(table, target, m, how)
    if options.test:
        problem = prepare(table, target, m, how, reuse=True)
        fitted, target, path = problem.preprocessing, problem.target, Path(options.test)
        format = replace(options.format(path), targets=None)
        tested, _ = read_known(fitted, target, path, format, table.rows.dtype)
        _check_domain(tested, target, how.cost)
        return replace(problem, test=examples_for(fitted, target, tested))
    _check_parts(table, target, 2, "holding some out")
    held = held_out(table.y, target, options, seed)
    _check_left(table, target, held)
    last = move_to_end(table.rows, table.y, held)
    problem = prepare(table, target, m - len(held), how, reuse=True)
    assert problem.test
    return replace(problem, test=replace(problem.test, rows=last))


def _check_domain(table: Table, target: Classes | Quantity, cost: Cost) -> None:
    """ValueError, with the place, for a number that the cost is not defined for."""
    assert table.y is not None
    if isinstance(target, Classes):
        return
    low, high = cost.domain
    outside = (table.y < low) | (table.y > high)
    if outside.any():
        i = int(np.argmax(outside))
        bound = f"below {low:g}" if table.y[i] < low else f"above {high:g}"
        raise ValueError(
            f"{table.path}, {table.place(i)}: '{target.name}' is {number_text(table.y[i])}, and {cost.name} "
            f"takes nothing {bound}: choose another --cost or --output-activation"
        )


def held_out(y: np.ndarray, target: Classes | Quantity, options: TableOptions, seed: int) -> np.ndarray:
    """The indices of the rows to test on: the same for the same table, share and seed."""
    share = options.held_out or HELD_OUT
    labels = y if isinstance(target, Classes) else None
    return sample_each_class(share, labels, len(y), np.random.default_rng(seed))


def _check_left(table: Table, target: Classes | Quantity, held: np.ndarray) -> None:
    """ValueError where too much is held out to train on the rest."""
    assert table.y is not None
    rows, left = len(table.y) - len(held), ""
    if isinstance(target, Classes):
        n = len(target.classes)
        counts = np.bincount(table.y, minlength=n) - np.bincount(table.y[held], minlength=n)
        left = "" if counts.all() else f"no example of class '{target.classes[int(np.argmin(counts))]}'"
    elif rows < 2:
        left = counted(rows, "row")
    if left:
        raise ValueError(f"{table.path}: --held-out leaves {left} to train on: make it less")


def _check_parts(table: Table, target: Classes | Quantity, least: int, what: str) -> None:
    """ValueError, with the place, for a class with fewer examples than that."""
    assert table.y is not None
    if len(table.y) < least + 1:
        raise ValueError(f"{table.path} has {counted(len(table.y), 'row')}, too few for {what}")
    if not isinstance(target, Classes):
        return
    counts = np.bincount(table.y, minlength=len(target.classes)).tolist()
    if min(counts) < least:
        k = counts.index(min(counts))
        where, some = table.place(int(np.argmax(table.y == k))), counted(counts[k], "example")
        which = f"{table.path}, {where}: class '{target.classes[k]}'"
        hint = "" if target.kind == TEXT else "; --task regression takes it as a number"
        raise ValueError(f"{which} has {some}, and {what} needs {least}{hint}")
