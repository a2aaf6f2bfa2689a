"""Rows of Parquet files as examples: read by row groups, shuffled in a buffer, encoded in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reader import Reader
from gpunn.tables.sources.dataset import Grouped, RowGroup
from gpunn.tables.spelling import Spelling
from gpunn.tables.streaming.ahead import read_ahead
from gpunn.tables.streaming.memory import Division
from gpunn.tables.streaming.parts import TRAIN, Parts
from gpunn.tables.target import Target

Raw = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows (m, n), targets (m,), numbers of the rows (m,)
AT_ONCE = 1 << 11  # rows whose features stay in the processor's cache while they are written


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a source, and how they become examples.

    Attributes:
        source: the row groups.
        preprocessing: how columns become features.
        target: the target, if it is to be read; rows without it are left out.
        dtype: of the features.
        origins: subtracted from columns of numbers before they are rounded to the dtype.
        spellings: how numbers are written in columns that the source has as strings.
        missing: further words that stand for a missing value.
        unknown: the number of values of unknown categories, by column, which is added up.
    """

    source: Grouped
    preprocessing: Preprocessing
    target: Target | None
    dtype: str
    origins: Mapping[str, float]
    spellings: Mapping[str, Spelling]
    missing: Sequence[str]
    unknown: dict[str, int] = field(default_factory=dict)

    def reader(self) -> Reader:
        """Return a reader of the columns that are needed."""
        name = self.target.name if self.target else None
        kinds = self.preprocessing.kinds | ({self.target.name: self.target.kind} if self.target else {})
        return Reader(self.source, kinds, name, self.dtype, self.origins, self.spellings, self.missing)

    def raw(
        self, reader: Reader, groups: Sequence[RowGroup], parts: Parts | None = None, part: int = TRAIN
    ) -> Iterator[Raw]:
        """Yield the rows of some row groups, batch by batch. parts: yield the rows of a part alone."""
        for group in groups:
            start = group.first
            for batch in self.source.read_group(group, reader.wanted):
                values = reader.values(batch, start)
                m = len(next(iter(values.values())))
                rows, y = np.empty((m, len(reader.names)), self.dtype), np.zeros(m)
                reader.write(values, rows, y, start)
                at = np.arange(start, start + m)
                chosen = np.ones(m, bool) if parts is None else parts.of(start, m) == part
                chosen &= ~np.isnan(y)
                yield (rows, y, at) if chosen.all() else (rows[chosen], y[chosen], at[chosen])
                start += m

    def encode(self, reader: Reader, rows: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return X (n_features, m), column-major, of rows (m, n), and the encoded targets (m,)."""
        table = reader.table(rows, y)
        X = np.empty((len(rows), self.preprocessing.features), self.dtype)
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            for name, count in self.preprocessing.encode(table, rows[part], X[part]).items():
                if count:
                    self.unknown[name] = self.unknown.get(name, 0) + count
        return X.T, self.target.encode(table) if self.target else y

    def blocks(
        self, m: int, parts: Parts | None = None, part: int = TRAIN
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, Reader]]:
        """Yield X, the targets and the numbers of the rows, in their order, m at most at a time."""

        def encoded() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, Reader]]:
            reader = self.reader()
            for rows, y, at in self.raw(reader, self.source.groups, parts, part):
                for start in range(0, len(rows), m):
                    here = slice(start, start + m)
                    yield *self.encode(reader, rows[here], y[here]), at[here], reader

        yield from read_ahead(encoded())


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The rows to train on, as `gpunn.training.streamed.Stream` has them.

    Attributes:
        rows: the rows of all parts.
        parts: the division into parts.
        m: the number of rows to train on.
        division: how many rows are held at a time.
        fingerprint: a digest of the files.
        class_counts: the number of rows of each class to train or validate on; None for a quantity.
    """

    rows: Rows
    parts: Parts
    m: int
    division: Division
    fingerprint: str
    class_counts: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.preprocessing.features, self.m

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def description(self) -> str:
        return f"{self.fingerprint}, {self.parts}, {self.m} rows, --memory {self.division.limit}"

    def blocks(
        self, batch_size: int, rng: np.random.Generator | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the blocks of an epoch, which are read and encoded ahead.

        The row groups come in a random order, and the rows of a buffer in another. None keeps their order.
        """
        yield from read_ahead(self._blocks(batch_size, rng))

    def _blocks(
        self, batch_size: int, rng: np.random.Generator | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        target, reader = self.rows.target, self.rows.reader()
        assert target
        files = self.rows.source.files
        files.check_unchanged()
        block = self.division.block(self.shape[0], batch_size)
        buffer = self.division.buffer(len(reader.names), block)
        for rows, y in self.buffers(reader, rng, min(buffer, self.m)):
            order = np.arange(len(rows)) if rng is None else rng.permutation(len(rows))
            for start in range(0, len(rows), block):
                part = order[start : start + block]
                X, found = self.rows.encode(reader, rows[part], y[part])
                yield X, target.for_network(found)
        files.check_unchanged()

    def buffers(
        self, reader: Reader, rng: np.random.Generator | None, room: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows (m, n) and targets (m,), `room` at a time; the next ones overwrite them."""
        groups = self.rows.source.groups
        if rng is not None:
            groups = [groups[k] for k in rng.permutation(len(groups))]
        buffer, targets, held = np.empty((room, len(reader.names)), self.rows.dtype), np.empty(room), 0
        for rows, y, _ in self.rows.raw(reader, groups, self.parts):
            done = 0
            while done < len(rows):
                k = min(len(rows) - done, room - held)
                buffer[held : held + k], targets[held : held + k] = rows[done : done + k], y[done : done + k]
                done, held = done + k, held + k
                if held == room:
                    yield buffer, targets
                    held = 0
        if held:
            yield buffer[:held], targets[:held]
