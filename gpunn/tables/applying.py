"""A network that was trained on a table, and what it needs to read other tables.

These are the steps of `gpunn.tables.TableModel`, which the command line takes one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpunn.network import Network
from gpunn.sweeps.ensemble import Ensemble
from gpunn.tables.dated import Dated
from gpunn.tables.dates import from_json as dates_from_json
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import (
    EvaluationTable,
    TableExamples,
    examples_of,
    explained,
    find_extreme,
    read_for,
)
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import (
    IN_MEMORY,
    Format,
    as_place,
    check_columns,
    holds_files,
    is_path,
    open_table,
)
from gpunn.tables.sources.dataset import ParquetFiles
from gpunn.tables.sources.files import STDIN
from gpunn.tables.spelling import Spelling
from gpunn.tables.spelling import from_json as spellings_from_json
from gpunn.tables.splitting import held_out_rows
from gpunn.tables.streaming.examples import rows_of, stream_examples
from gpunn.tables.streaming.memory import BLOCK, is_too_large
from gpunn.tables.streaming.parts import Parts
from gpunn.tables.table import Source, Table
from gpunn.tables.target import Target

UNLIMITED = "1024T"  # of memory, for a table that was trained on in memory


@dataclass(frozen=True, eq=False, repr=False)
class AppliedNetwork:
    """A network, or an ensemble, and how the columns of a table become its inputs.

    Attributes:
        network: the network.
        name: what messages call the model.
        target: the target.
        preprocessing: how columns become features.
        options: the options of the table that it was trained on.
        fingerprint: a digest of the table that it was trained on.
    """

    network: Network | Ensemble
    name: str
    target: Target
    preprocessing: Preprocessing
    options: TableOptions
    fingerprint: str

    def open(self, data: Any, format: Format) -> Source:
        """Open a table that is written as the one that was trained on."""
        if format.header is None:
            format = replace(format, header=self.options.header)
        if format.encoding is None:
            format = replace(format, encoding=self.options.encoding)
        if format.sheet is None:
            format = replace(format, sheet=self.options.sheet)
        missing = self.options.missing
        source: Source = open_table(data, replace(format, missing=missing))
        if is_path(data) and holds_files(data) and not isinstance(source, ParquetFiles):
            files = ParquetFiles(str(data))
            source = files if is_too_large(files, format.memory, str(self.network.dtype)) else source
        if kept := self.network.meta["table"].get("dates"):
            source = Dated(source, dates_from_json(kept), missing)
        return source

    def read(self, source: Source, with_target: bool = False) -> Table:
        """Read the columns that the network needs, and the target if asked for."""
        target, dtype = self.target if with_target else None, self.network.dtype
        return read_for(self.preprocessing, target, source, dtype, self.spellings, self.options.missing)

    def must_stream(self, source: Source, memory: str | None) -> bool:
        """Return whether a table does not fit into memory, so that it is read in parts."""
        return is_too_large(source, memory, str(self.network.dtype))

    def output_blocks(self, source: Any, device: str) -> Iterator[tuple[np.ndarray, dict[str, int]]]:
        """Yield the network's outputs (n_out, m) for the rows of a table, some at a time.

        With them come the unknown categories so far, by column.
        """
        check_columns(source, self.preprocessing.kinds)
        rows = rows_of(
            source, self.preprocessing, None, str(self.network.dtype), self.spellings, self.options.missing
        )
        for X, _, _, _ in rows.blocks(BLOCK):
            yield self.network.forward(X, device=device), rows.unknown

    @property
    def _seed(self) -> int:
        """The random seed of the training, which decided what rows were held out."""
        seed: int = self.network.meta["settings"]["seed"]
        return seed

    @property
    def spellings(self) -> dict[str, Spelling]:
        """How numbers are written in columns that were read from strings, such as "$1,234.50"."""
        return spellings_from_json(self.network.meta["table"].get("spellings", {}))

    def ignored_columns(self, table: Table) -> list[str]:
        """Return the columns of a table that were not in the table that was trained on."""
        dropped = {*self.preprocessing.dropped, *self.options.drop}
        known = self.preprocessing.kinds.keys() | dropped | {self.target.name}
        return [name for name in table.source.kinds if name not in known]

    def outputs(self, table: Table, device: str) -> tuple[np.ndarray, dict[str, int]]:
        """Return the network's outputs (n_out, m), and the number of unknown categories by column."""
        X, unknown = self.preprocessing.apply(table, table.rows)
        try:
            return self.network.forward(X, device=device), unknown
        except ValueError as error:
            raise explained(error, find_extreme(self.preprocessing, table, X)) from None

    def open_test(self, data: Any, format: Format) -> EvaluationTable:
        """Read a table to test on. data: None for the table that the model was tested on in training."""
        if data is None:
            return self._test_in_training(format)
        data = as_place(data)
        source: Any = self.open(data, format)
        if self.must_stream(source, format.memory):
            return self._streamed_test(source)
        table = self.read(source, with_target=True)
        return EvaluationTable(table.name, table, examples_of(self.preprocessing, self.target, table))

    def _test_in_training(self, format: Format) -> EvaluationTable:
        """Read the test table, or the held-out rows of the table that was trained on."""
        tested = self.options.test or self.network.meta["dataset"]
        if self.options.cv:
            raise ValueError(
                f"{self.name} was trained on all rows of its table; name another table to evaluate it on"
            )
        if tested == STDIN:
            raise ValueError(f"{self.name} was trained on standard input; name a table to evaluate it on")
        if tested == IN_MEMORY:
            raise ValueError(f"{self.name} was tested on data in memory; name a table to evaluate it on")
        if self.options.test:
            delimiter = format.delimiter or self.options.delimiter
            return self.open_test(tested, replace(format, delimiter=delimiter))
        if self.network.meta["table"].get("streamed"):
            return self._held_out_of_stream(tested)
        whole = self.open_test(tested, replace(self.options.format(tested), memory=UNLIMITED))
        if whole.table.source.fingerprint() != self.fingerprint:
            return replace(whole, changed=True)
        found = whole.examples
        held = held_out_rows(found.y, self.target, self.options, self._seed)
        examples = replace(found, X=found.X[:, held], y=found.y[held])
        constant = self.target.constant(np.delete(found.y, held))
        return EvaluationTable(f"held-out rows of {tested}", whole.table, examples, constant)

    def _streamed_test(self, source: Any, parts: Parts | None = None) -> EvaluationTable:
        """Return the rows of a table that is read in parts, or those that were held out of it."""
        missing, dtype = self.options.missing, str(self.network.dtype)
        how = self.preprocessing, self.target, dtype, self.spellings, missing
        examples = stream_examples(source, *how, parts)
        held = f"held-out rows of {source.name}" if parts else source.name
        return EvaluationTable(held, Table(source, (), np.empty((0, 0))), examples)

    def _held_out_of_stream(self, tested: str) -> EvaluationTable:
        """Return the rows that were held out of a table that was streamed."""
        source: Any = ParquetFiles(tested)
        same = source.fingerprint() == self.fingerprint
        if kept := self.network.meta["table"].get("dates"):
            source = Dated(source, dates_from_json(kept), self.options.missing)
        held = self.options.held_out
        assert held
        found = self._streamed_test(source, Parts(self._seed, held) if same else None)
        return found if same else replace(found, changed=True)

    def measure(self, examples: TableExamples, device: str) -> dict[str, Any]:
        """Return the loss, the measures, and for classes the confusion matrix and more."""
        outputs, measures = examples.evaluate(self.target, self.network, device)
        return measures | self.target.details(examples.y, self.target.decode(self.network, outputs))
