"""A table that is too large for memory, ready to be trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpunn.names import counted
from gpunn.sweeps.averaging import Trained
from gpunn.tables import adjusting, recipe
from gpunn.tables.prepared import PreparedTable, TableExamples
from gpunn.tables.sizes import in_words
from gpunn.tables.streaming.examples import StreamedExamples
from gpunn.tables.streaming.rows import TrainingRows
from gpunn.tables.task import TableTask
from gpunn.training.settings import Settings


@dataclass(frozen=True, eq=False)
class StreamedTable(PreparedTable):
    """A fitted preparation, and samples of the rows in `train`.

    best: the best constant prediction.
    """

    best: float = 0.0

    @property
    def constant(self) -> float:
        return self.best


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedTask(TableTask):
    """A table that is read, block by block, whenever its rows are needed.

    Attributes:
        stream: the rows to train on.
        with_target: the number of rows with a target.
        validated: the examples to validate on.
        examined: a sample of the examples to test on, which explains the network.
        quantiles: the number of rows that quantiles were computed from.
    """

    stream: TrainingRows
    with_target: int
    validated: TableExamples
    examined: TableExamples
    quantiles: int

    @property
    def X(self) -> Any:
        return self.stream

    @property
    def y(self) -> Any:
        return None

    @property
    def sample_y(self) -> np.ndarray:
        return self.prepared.target.for_network(self.prepared.train.y)

    @property
    def rows(self) -> int:
        return self.with_target

    @property
    def defaults(self) -> dict[str, Any]:
        held = len(self.validated.y) > 0
        usual = recipe.defaults_for(self.stream.m, self.prepared.target, held=held)
        return self._with_cost({**usual, "ensemble": 1})

    def validation(self, settings: Settings) -> Any:
        """Return the rows that are held out to validate on; None if there are none."""
        if not len(self.validated.y):
            if settings.patience:
                why = "has too few rows to hold some out for --patience; omit it"
                raise ValueError(f"{self.table.name} {why}")
            return None
        return self.validated.X, self.prepared.target.for_network(self.validated.y)

    def check(self, settings: Settings) -> None:
        super().check(settings)
        self.stream.division.block(self.stream.shape[0], settings.batch_size or 1)

    def adjusted(self, trained: Trained, settings: Settings) -> TableTask:
        """Return the task whose target is adjusted to the rows to validate on."""
        net, y = trained.predictor, self.validated.y
        held = (net.forward(self.validated.X), np.arange(len(y))) if settings.patience and len(y) else None
        target = adjusting.adjust(self.prepared.target, self.options, settings.metric, net, y, held)
        return replace(self, prepared=replace(self.prepared, target=target))

    def sampled(self) -> TableTask:
        """Return a task in memory with samples of the rows, to explain a network by."""
        prepared = self.prepared
        other = None if isinstance(prepared.test, StreamedExamples) else prepared.test
        test = other if self.tested else self.examined
        part = PreparedTable(prepared.target, prepared.preprocessing, prepared.train, test)
        about = self.table, part, self.options, self.dataset, self.fingerprint, self.columns, self.tested
        return TableTask(*about)

    def meta(self, folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        found = super().meta(folds)
        found["table"]["streamed"] = True
        return found

    def describe(self) -> str:
        """Describe how the rows are read, in one line."""
        files, division = self.stream.rows.source.files, self.stream.division
        parts = [f"streamed from {counted(len(files.found.paths), 'file')}"]
        parts.append(f"{counted(len(files.groups), 'row group')}, within {in_words(division.limit)}")
        if self.quantiles < self.with_target:
            parts.append(f"quantiles from {self.quantiles:,} rows")
        parts.append(f"validated on {counted(len(self.validated.y), 'row')}")
        return f"{files.name}: {', '.join(parts)}; --ensemble trains one network after another"
