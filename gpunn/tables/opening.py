"""Open a table to train on, in memory or streamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpunn.tables import dated
from gpunn.tables.decisions import decisions, look_at
from gpunn.tables.loading import load
from gpunn.tables.options import TableOptions
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import IN_MEMORY, absolute, as_place, holds_files, is_path, open_files, open_table
from gpunn.tables.splitting import split_and_prepare
from gpunn.tables.streaming.memory import is_too_large
from gpunn.tables.streaming.opening import open_streamed
from gpunn.tables.task import TableTask, preparation
from gpunn.training.settings import Settings


def open_task(
    data: Any,
    settings: Settings,
    options: TableOptions,
    test: Any = None,
    known: Mapping[str, Any] | None = None,
) -> TableTask:
    """Read and prepare a table; if it does not fit into memory, prepare to stream it.

    Args:
        data: a table, as `gpunn.tables.train` takes it.
        test: the table to test on, if it is in memory.
        known: what an earlier model, which is to be trained further, says about its table.
    """
    options.check()
    data = as_place(data)
    tested = options.test if test is None else test
    if options.memory is not None or holds_files(data):
        source = open_files(data)
        if is_too_large(source, options.memory, settings.dtype, options.drop):
            return open_streamed(data, settings, options, tested, known)
    table, target = load(data, options, settings.dtype)
    seen = look_at(table)  # before the rows are overwritten
    format = replace(options.format(tested), targets=None, header=table.source.header)
    other = None if tested is None else open_table(tested, format)
    if other and (found := dated.dates_of(table.source)):
        other = dated.Dated(other, found, options.missing)
    how = preparation(options, settings)
    if known:
        how = replace(how, known=Preprocessing.from_json(known))
    prepared = split_and_prepare(table, target, options, settings.seed, how, other)
    dataset = absolute(data) if is_path(data) else IN_MEMORY
    columns = tuple(decisions(table, seen, prepared.preprocessing, target, options))
    return TableTask(table, prepared, options, dataset, table.source.fingerprint(), columns, other)
