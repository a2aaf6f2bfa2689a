"""One pass over files too large for memory: everything that the preparation of columns depends on.

Ranges, counts of categories, classes and missing values are exact. Quantiles are those of a random sample of
the training rows, which is all of them if they fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from gpunn.names import counted
from gpunn.tables.decisions import Seen
from gpunn.tables.fitting import Summary
from gpunn.tables.identifiers import DISTINCT, FEWEST, NAMED_ID
from gpunn.tables.preprocessing import DATE
from gpunn.tables.reader import Reader
from gpunn.tables.sources.dataset import Grouped, RowGroup
from gpunn.tables.streaming.moments import Moments, TargetValues
from gpunn.tables.streaming.parts import TEST, TRAIN, VALIDATION, Parts
from gpunn.tables.table import Growing, Table
from gpunn.training.progress import watched

SHOWN = 5  # places that are named in a remark


@dataclass(frozen=True)
class Shares:
    """The shares of rows that are kept: of the training rows, and of the rows to test on."""

    sample: float
    examined: float


class Kept:
    """Rows that are kept in memory, with their targets and numbers."""

    def __init__(self, columns: int, dtype: DTypeLike) -> None:
        self.rows, self.y, self.at = Growing(columns, dtype), Growing(1, np.float64), Growing(1, np.int64)

    def add(self, rows: np.ndarray, y: np.ndarray, at: np.ndarray, chosen: np.ndarray) -> None:
        """Keep the chosen ones of some rows."""
        m = int(np.count_nonzero(chosen))
        self.rows.add(m)[:] = rows[chosen]
        self.y.add(m)[:, 0] = y[chosen]
        self.at.add(m)[:, 0] = at[chosen]

    def table(self, reader: Reader) -> Table:
        """Return the rows as a table."""
        found = reader.table(self.rows.done(), self.y.done()[:, 0])
        return replace(found, kept=self.at.done()[:, 0], spellings=reader.spelt)


class Statistics:
    """Statistics from a pass over the row groups of a source.

    Attributes:
        m: the number of rows with a target.
        train: the number of those to train on or to validate on.
        learnt: the number of those to train on, in each row group.
        target: the values of the target.
        sample, validation, examined: training rows, all rows to validate on, and rows to test on.
        test_y, test_at: the targets of all rows to test on, and the numbers of these rows.
        left_out: the number of rows without a target, and `places` of the first of them.
    """

    def __init__(self, source: Grouped, reader: Reader, parts: Parts, shares: Shares) -> None:
        self.source, self.reader, self.parts, self.shares = source, reader, parts, shares
        n, dtype = len(reader.names), reader.dtype
        self.texts = np.array([reader.columns[name].texts is not None for name in reader.names], bool)
        self.m = self.train = self.left_out = 0
        self.learnt: list[int] = []
        self.places: list[str] = []
        self.tested, self.trained = Moments(n), Moments(n)
        self.counts = [np.zeros(0, np.intp) for _ in reader.names]
        self.target = TargetValues()
        self.sample, self.validation, self.examined = (Kept(n, dtype) for _ in range(3))
        self.test_y, self.test_at = Growing(1, np.float64), Growing(1, np.int64)
        self.counting = {name: -1.0 for name, text in zip(reader.names, self.texts, strict=True) if not text}
        self.whole = {name for name in reader.names if NAMED_ID.fullmatch(name)}

    def read(self) -> Statistics:
        """Make the pass."""
        for group in watched(self.source.groups, "reading", "row groups"):
            self.learnt.append(sum(self._batches(group)))
        return self

    def _batches(self, group: RowGroup) -> Iterator[int]:
        """Read a row group; yield the number of rows to train on in each batch."""
        start = group.first
        for batch in self.source.read_group(group, self.reader.wanted):
            values = self.reader.values(batch, start)
            m = len(next(iter(values.values())))
            rows, y = np.empty((m, len(self.reader.names)), self.reader.dtype), np.empty(m)
            self.reader.write(values, rows, y, start)
            at, parts = np.arange(start, start + m), self.parts.of(start, m)
            u = self.parts.drawn(start, m)
            sampled = [u < self.shares.sample, u < self.shares.examined]
            known = ~np.isnan(y)
            if not known.all():
                self._leave_out(at[~known])
                rows, y, at, parts = rows[known], y[known], at[known], parts[known]
                sampled = [chosen[known] for chosen in sampled]
                values = {name: x[known] for name, x in values.items()}
            self._look_for_identifiers(values)
            self._add(rows, y, at, parts, *sampled)
            start += m
            yield int(np.count_nonzero(parts == TRAIN))

    def _leave_out(self, at: np.ndarray) -> None:
        self.left_out += len(at)
        self.places += [self.source.place(int(row)) for row in at[: SHOWN - len(self.places)]]

    def _add(
        self,
        rows: np.ndarray,
        y: np.ndarray,
        at: np.ndarray,
        parts: np.ndarray,
        sampled: np.ndarray,
        examined: np.ndarray,
    ) -> None:
        """Take rows (m, n) into account, whose targets y (m,) are all known."""
        test = parts == TEST
        training = rows[~test] if test.any() else rows
        self.m, self.train = self.m + len(rows), self.train + len(training)
        self.trained.add(training)
        self.tested.add(rows[test])
        for j in np.flatnonzero(self.texts):
            x = training[:, j]
            found = np.bincount(x[~np.isnan(x)].astype(np.intp), minlength=len(self.counts[j]))
            found[: len(self.counts[j])] += self.counts[j]
            self.counts[j] = found
        self.target.add(y, ~test, at)
        self.sample.add(rows, y, at, sampled & ~test)
        self.validation.add(rows, y, at, parts == VALIDATION)
        self.examined.add(rows, y, at, examined & test)
        k = int(np.count_nonzero(test))
        self.test_y.add(k)[:, 0], self.test_at.add(k)[:, 0] = y[test], at[test]

    def _look_for_identifiers(self, values: Mapping[str, np.ndarray]) -> None:
        """Forget the columns that do not count the rows, or are not of whole numbers."""
        self.whole = {name for name in self.whole if (values[name] == np.rint(values[name])).all()}
        for name in list(self.counting):
            x, last = values[name], self.counting[name]
            if not len(x):
                continue
            begins = x[0] in (0, 1) if self.m == 0 else x[0] == last + 1
            if begins and (np.diff(x) == 1).all():
                self.counting[name] = float(x[-1])
            else:
                del self.counting[name]

    # what is found

    def summary(self, rows: np.ndarray) -> Summaries:
        """Return the summaries of the columns, given the rows (k, n) of the sample."""
        return Summaries(self, rows)

    def seen(self, table: Table) -> dict[str, Seen]:
        """Return the missing values and the range of each column, over all rows."""
        missing = self.trained.missing + self.tested.missing
        low = np.fmin(self.trained.low, self.tested.low)
        high = np.fmax(self.trained.high, self.tested.high)
        return {
            column.name: Seen(None)
            if column.texts and column.texts.many
            else Seen(int(missing[j]), column.origin + float(low[j]), column.origin + float(high[j]))
            for j, column in enumerate(table.columns)
        }

    def identifiers(self, table: Table) -> dict[str, str]:
        """Return the columns that tell rows apart and nothing else, with the reasons to drop them."""
        if self.m < FEWEST:
            return {}
        found = {}
        for j, column in enumerate(table.columns):
            if column.texts:
                known = int(self.counts[j].sum())
                differ = known >= FEWEST and self.counts[j].max() == 1
                differ = differ and (column.texts.many or known == self.train)
                if differ and not all(map(DATE.fullmatch, column.texts.codes)):
                    found[column.name] = DISTINCT
            elif column.name in self.counting:
                found[column.name] = "counts the rows"
            elif column.name in self.whole:
                x = table.rows[:, j]
                if len(np.unique(x)) == len(x):
                    found[column.name] = DISTINCT
        return found

    def note(self, target: str) -> list[str]:
        """Return a remark on rows that were left out. Raises ValueError if all were."""
        if not self.m:
            raise ValueError(f"{self.source.name}: the target '{target}' is missing in every row")
        if not self.left_out:
            return []
        more = ", …" if self.left_out > SHOWN else ""
        left_out = f"left out {counted(self.left_out, 'row')} without the target '{target}'"
        return [f"{self.source.name}: {left_out}: {', '.join(self.places)}{more}"]


class Summaries:
    """The summaries of the columns, as they are asked for. rows (k, n): the sample."""

    def __init__(self, found: Statistics, rows: np.ndarray) -> None:
        self.found, self.rows = found, rows

    def __call__(self, j: int) -> Summary:
        found, m = self.found, self.found.train
        x = np.ascontiguousarray(self.rows[:, j])
        if found.texts[j]:
            counts = found.counts[j]
            return Summary(m, m - int(counts.sum()), x[:0], counts)
        missing = int(found.trained.missing[j])
        present = np.sort(x[~np.isnan(x)])
        if missing < m:
            ends = np.array([found.trained.low[j], found.trained.high[j]], x.dtype)
            present = present if len(present) > 1 else ends
            present[0], present[-1] = ends
        return Summary(m, missing, present, x[:0])
