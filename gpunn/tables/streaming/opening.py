"""Prepare a table that is too large for memory: one pass over its files, then everything is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpunn.functions.costs import Cost
from gpunn.tables.dated import Dated, dates_of
from gpunn.tables.decisions import Decision, decisions, in_range, of_classes
from gpunn.tables.interpreting import describe_spelt, judge
from gpunn.tables.loading import choose_columns, target_of, with_intervals
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import TableExamples, examples_of, read_for
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.quantity import Quantity
from gpunn.tables.reader import Reader
from gpunn.tables.reading import open_table
from gpunn.tables.recipe import PARTS
from gpunn.tables.sources.dataset import Grouped, ParquetFiles
from gpunn.tables.splitting import HELD_OUT
from gpunn.tables.streaming.examples import StreamedExamples, stream_examples
from gpunn.tables.streaming.memory import Division, is_too_large, limit
from gpunn.tables.streaming.parts import Parts
from gpunn.tables.streaming.rows import Rows, TrainingRows
from gpunn.tables.streaming.statistics import Shares, Statistics
from gpunn.tables.streaming.task import StreamedTable, StreamedTask
from gpunn.tables.table import NUMBER, TEXT, Source, Table
from gpunn.tables.target import Classes, Target, check_target
from gpunn.tables.task import preparation
from gpunn.training.settings import Settings


@dataclass(frozen=True, eq=False)
class Opened:
    """Files and what a pass over them has found.

    Attributes:
        source: the files, with their dates as numbers.
        options: the options, with the limit of memory and the share of rows to test on.
        division: how many rows are held at a time.
        parts: the division of the rows into parts.
        statistics: what the pass has found.
        notes: remarks on how the data were read.
    """

    source: Grouped
    options: TableOptions
    division: Division
    parts: Parts
    statistics: Statistics
    notes: tuple[str, ...]


def open_streamed(
    text: str,
    settings: Settings,
    options: TableOptions,
    test: Any,
    known: Mapping[str, Any] | None,
) -> StreamedTask:
    """Read and prepare a table.

    Args:
        text: the places of the files.
        test: the table to test on; None to hold rows out.
        known: what an earlier model, which is to be trained further, says about its table.
    """
    if options.cv:
        raise ValueError(
            f"--cv needs the whole table in memory, but {text} is streamed: leave out --cv, or choose a "
            "larger --memory"
        )
    opened = _read(ParquetFiles(text), settings, options)
    table, target = _choose(opened)
    how, found = preparation(options, settings), opened.statistics
    fitted = Preprocessing.from_json(known) if known else None
    if fitted is None or not fitted.suits(table):
        summaries = found.summary(table.rows)
        fitted = Preprocessing.fit_to(table, found.train, summaries, how.impute)
    fitted.check(table.name)
    _check_domain(found, table, target, how.cost)
    target = _fit_target(found, target, table, how.reach)
    return _task(opened, table, target, fitted, test)


def _read(files: ParquetFiles, settings: Settings, options: TableOptions) -> Opened:
    """Choose the columns, divide the memory, and make the pass."""
    source, name, kinds = choose_columns(files, options, options.target)
    strings = [column for column, kind in kinds.items() if kind == TEXT and column not in options.categorical]
    spelt = judge(source, strings, options.missing)
    kinds |= dict.fromkeys(spelt, NUMBER)
    spellings = {column: spelling for column, (spelling, _) in spelt.items()}
    division = Division.of(files, kinds, limit(options.memory), np.dtype(settings.dtype).itemsize)
    held = 0.0 if options.test else options.held_out or min(HELD_OUT, division.tested / files.m)
    parts = Parts(settings.seed, held, min((1 - held) / PARTS, division.validated / files.m))
    shares = Shares(division.sample / files.m, division.examined / max(held * files.m, 1))
    reader = Reader(source, kinds, name, settings.dtype, None, spellings, options.missing)
    found = Statistics(source, reader, parts, shares).read()
    notes = (*found.note(name), *([describe_spelt(spelt)] if spelt else []))
    chosen = replace(options, memory=str(division.limit), held_out=held or None)
    return Opened(source, chosen, division, parts, found, notes)


def _choose(opened: Opened) -> tuple[Table, Target]:
    """Return the sample of the training rows as a table, with its y encoded, and the target."""
    found, options = opened.statistics, opened.options
    table = found.sample.table(found.reader)
    table = replace(table, notes=opened.notes, dropped=found.identifiers(table))
    assert table.target
    check_target(table)
    target = target_of(table.name, table.target, found.target.values, found.m, options.task)
    if options.interval is not None:
        target = with_intervals(table, target, options.interval)
    if lacking := _lacking(found, target):
        where = f"{table.name}: holding rows out leaves {lacking} to train on"
        raise ValueError(f"{where}; choose another --seed or a smaller --held-out")
    return replace(table, y=target.encode(table)), target


def _lacking(found: Statistics, target: Target) -> str:
    """Describe what the rows to train on lack; "" if nothing."""
    if sum(found.learnt) < 2:
        return "fewer than 2 rows"
    counts = class_counts(found, target)
    if counts is None or counts.all():
        return ""
    assert isinstance(target, Classes)
    return f"no example of class '{target.classes[int(np.argmin(counts))]}'"


def class_counts(found: Statistics, target: Target) -> np.ndarray | None:
    """Return the number of training rows of each class; None for a quantity."""
    if not isinstance(target, Classes):
        return None
    y = found.target.values
    column = found.reader.columns[target.name]
    table = Table(found.source, (), np.empty((len(y), 0)), column, y)
    counts = np.zeros(target.n_out, np.intp)
    counts[target.encode(table)] = found.target.counts
    return counts


def _check_domain(found: Statistics, table: Table, target: Target, cost: Cost) -> None:
    """Raise ValueError, with the place, for a number outside the cost's domain."""
    (low, first), (high, last) = found.target.low, found.target.high
    ends = replace(table, y=np.array([low, high]), kept=np.array([first, last]))
    target.check_domain(ends, cost)


def _fit_target(found: Statistics, target: Target, table: Table, reach: tuple[float, float]) -> Target:
    """Return the target with a mean and a scale, if it has them."""
    if not isinstance(target, Quantity):
        return target
    assert table.y is not None
    if len(table.y) == found.train:  # so that the numbers are those of a table in memory
        return target.fitted(table.y, reach)
    values = found.target
    return target.fitted_to((values.low[0], values.high[0]), values.mean, values.deviation, reach)


def _task(opened: Opened, table: Table, target: Target, fitted: Preprocessing, test: Any) -> StreamedTask:
    found, options, division = opened.statistics, opened.options, opened.division
    assert table.kept is not None and table.y is not None
    quantiles = len(table.y)
    at = np.unique(np.linspace(0, quantiles - 1, min(division.examined, quantiles)).astype(np.intp))
    small = replace(table, rows=table.rows[at], y=table.y[at], kept=table.kept[at])
    X, _ = fitted.apply(small, small.rows)
    train = TableExamples(X, table.y[at], {})
    files = opened.source.files
    dtype, origins = table.rows.dtype.name, found.reader.origin
    rows = Rows(opened.source, fitted, target, dtype, origins, table.spellings, options.missing)
    other, tested = (None, _tested(opened, rows)) if test is None else _of_another_table(rows, test, options)
    best = _constant(found, target)
    counts = class_counts(found, target)
    prepared = StreamedTable(target, fitted, train, tested, best)
    fingerprint = files.fingerprint()
    return StreamedTask(
        small,
        prepared,
        options,
        files.absolute,
        fingerprint,
        tuple(_decisions(found, table, fitted, target, options, counts)),
        other,
        stream=TrainingRows(rows, opened.parts, sum(found.learnt), division, fingerprint, counts),
        with_target=found.m,
        validated=_validated(opened, rows),
        examined=examples_of(fitted, target, found.examined.table(found.reader)),
        quantiles=quantiles,
    )


def _tested(opened: Opened, rows: Rows) -> TableExamples | None:
    """Return the rows that are held out to test on; None if there are none."""
    found, target = opened.statistics, rows.target
    y, at = found.test_y.done()[:, 0], found.test_at.done()[:, 0]
    if not len(y):
        return None
    assert target
    column = found.reader.columns[target.name]
    encoded = target.encode(Table(found.source, (), np.empty((len(y), 0)), column, y, kept=at))
    X = np.empty((rows.preprocessing.features, 0), rows.dtype)
    return StreamedExamples(X, encoded, rows.unknown, at, source=rows, parts=opened.parts)


def _of_another_table(rows: Rows, test: Any, options: TableOptions) -> tuple[Source, TableExamples]:
    """Open another table to test on."""
    target, fitted = rows.target, rows.preprocessing
    assert target
    format = replace(options.format(test), targets=None)
    source: Any = open_table(test, format)
    if found := dates_of(rows.source):
        source = Dated(source, found, options.missing)
    if is_too_large(source, options.memory, rows.dtype):
        return source, stream_examples(source, fitted, target, rows.dtype, rows.spellings, options.missing)
    table = read_for(fitted, target, source, rows.dtype, rows.spellings, options.missing)
    return source, examples_of(fitted, target, table)


def _validated(opened: Opened, rows: Rows) -> TableExamples:
    """Return the rows to validate on, as many as there is room for."""
    assert rows.target
    found, division = opened.statistics, opened.division
    table = found.validation.table(found.reader)
    assert table.y is not None and table.kept is not None
    room = division.limit // 16 // (rows.preprocessing.features * division.itemsize)
    part = slice(0, min(len(table.y), max(room, 1)))
    table = replace(table, rows=table.rows[part], y=table.y[part], kept=table.kept[part])
    return examples_of(rows.preprocessing, rows.target, table)


def _constant(found: Statistics, target: Target) -> float:
    """Return the best constant prediction: the most frequent class, or the mean."""
    counts = class_counts(found, target)
    return found.target.mean if counts is None else int(np.argmax(counts))


def _decisions(
    found: Statistics,
    table: Table,
    fitted: Preprocessing,
    target: Target,
    options: TableOptions,
    counts: np.ndarray | None,
) -> list[Decision]:
    """Return what was decided about each column; the target's values are those of all training rows."""
    values = (
        in_range(found.target.low[0], found.target.high[0])
        if counts is None or not isinstance(target, Classes)
        else of_classes(target, counts)
    )
    made = decisions(table, found.seen(table), fitted, target, options)
    return [replace(each, values=values) if each.name == target.name else each for each in made]
