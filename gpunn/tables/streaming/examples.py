"""Examples that are measured as they are read, because they do not fit into memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpunn.predictor import Predictor
from gpunn.tables.prepared import TableExamples
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.quantity import Measures
from gpunn.tables.reading import check_columns
from gpunn.tables.sources.dataset import Grouped
from gpunn.tables.spelling import Spelling
from gpunn.tables.streaming.memory import BLOCK
from gpunn.tables.streaming.parts import TEST, Parts
from gpunn.tables.streaming.rows import Rows
from gpunn.tables.table import TEXT
from gpunn.tables.target import Target


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedExamples(TableExamples):
    """The examples of a part of the rows. X (n_features, 0) is empty.

    Attributes:
        source: the rows.
        parts: the division whose part TEST they are; None for all the rows.
        block: how many rows are encoded at a time.
    """

    source: Rows
    parts: Parts | None = None
    block: int = BLOCK

    def evaluate(self, target: Target, net: Predictor, device: str = "cpu") -> tuple[np.ndarray, Measures]:
        """Return what `TableExamples.evaluate` returns; the outputs are those of all the rows."""
        m, done, loss = len(self.y), 0, 0.0
        outputs = np.empty((net.sizes[-1], m), net.dtype)
        for X, y, _, _ in self.source.blocks(self.block, self.parts, TEST):
            end = done + len(y)
            outputs[:, done:end], mean, _ = net.examine(X, target.for_network(y), device=device)
            loss, done = loss + mean * len(y), end
        measures = target.measure(self.y, target.decode(net, outputs)) | target.score(self.y, net, outputs)
        return outputs, {"loss": loss / m, **measures}


def rows_of(
    source: Grouped,
    preprocessing: Preprocessing,
    target: Target | None,
    dtype: str,
    spellings: Mapping[str, Spelling],
    missing: Sequence[str],
) -> Rows:
    """Return the rows of a table that was not trained on."""
    origins = {number.name: number.mean for number in preprocessing.numbers}
    strings = {name: how for name, how in spellings.items() if source.kinds.get(name) == TEXT}
    return Rows(source, preprocessing, target, dtype, origins, strings, missing)


def stream_examples(
    source: Grouped,
    preprocessing: Preprocessing,
    target: Target,
    dtype: str,
    spellings: Mapping[str, Spelling],
    missing: Sequence[str],
    parts: Parts | None = None,
) -> StreamedExamples:
    """Return the examples of a table that was not trained on, or of the part TEST of one that was.

    Raises ValueError if the table lacks a column, or has no row with a target.
    """
    check_columns(source, preprocessing.kinds | {target.name: target.kind}, target.name)
    rows = rows_of(source, preprocessing, target, dtype, spellings, missing)
    only = replace(rows, preprocessing=Preprocessing((), {}))
    reader = only.reader()
    found = [
        (target.encode(reader.table(x, y)), at) for x, y, at in only.raw(reader, source.groups, parts, TEST)
    ]
    if not sum(len(at) for _, at in found):
        raise ValueError(f"{source.name}: the target '{target.name}' is missing in every row")
    y, at = (np.concatenate(each) for each in zip(*found, strict=True))
    X = np.empty((preprocessing.features, 0), dtype)
    return StreamedExamples(X, y, rows.unknown, at, source=rows, parts=parts)
