"""Columns of dates, read as numbers: year, month, weekday, hour, and days since 1970."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gpunn.names import listed
from gpunn.tables.dates import FOUND, MONTHLY, ORDERS, PARTS, WRITTEN, Dates, parse
from gpunn.tables.options import TableOptions
from gpunn.tables.table import MOMENT, NUMBER, TEXT, Source, quoted
from gpunn.tables.timestamps import numbers_of, seen, typed

Batches = Callable[[Mapping[str, str]], Iterator[dict[str, Any]]]

MANY, MOSTLY = 20, 0.9  # if more of a column's distinct strings are dates, the others may be mistakes


class Dated:
    """A source whose columns of dates are replaced by columns of numbers, such as "day month".

    Args:
        source: the source.
        dates: how to read the dates, by column.
        missing: further words that stand for a missing value.
        examples: a date of each column, for a note.
        remarks: further notes.

    Raises:
        ValueError: a column is missing.
    """

    def __init__(
        self,
        source: Source,
        dates: Mapping[str, Dates],
        missing: Collection[str] = (),
        examples: Mapping[str, str] | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        self.source, self.dates, self.missing, self.examples = source, dates, missing, examples or {}
        self.remarks = remarks
        if lacking := [name for name in dates if name not in source.kinds]:
            raise ValueError(f"{source.name} lacks the column '{lacking[0]}', which held dates in training")
        self.name, self.target = source.name, source.target
        self.point, self.header = source.point, source.header
        self.kinds = dict[str, str]()
        for name, kind in source.kinds.items():
            self.kinds |= dict.fromkeys(self._columns(name), NUMBER) if name in dates else {name: kind}

    def _columns(self, name: str) -> list[str]:
        return [f"{name} {part}" for part in self.dates[name].parts]

    @property
    def notes(self) -> Sequence[str]:
        read = []
        for name, text in self.examples.items():
            moment = parse(text, self.dates[name].order)
            read.append(f"{name} ({quoted(text)} is {moment:%Y-%m-%d}: {', '.join(self.dates[name].parts)})")
        note = [f"has dates, read as numbers: {listed(read)}"] if read else []
        return [*self.source.notes, *note, *self.remarks]

    @property
    def cautions(self) -> Sequence[str]:
        return self.source.cautions

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        return self._with_numbers(self.source.batches, kinds, 0)

    @property
    def groups(self) -> Any:
        """The row groups of the source, if it is one of Parquet files; `files` are its files."""
        return self.source.groups  # type: ignore[attr-defined]

    @property
    def files(self) -> Any:
        return self.source.files  # type: ignore[attr-defined]

    def read_group(self, group: Any, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the columns of a row group, as `batches` does."""
        read = partial(self.source.read_group, group)  # type: ignore[attr-defined]
        return self._with_numbers(read, kinds, group.first)

    def _with_numbers(
        self, batches: Batches, kinds: Mapping[str, str], start: int
    ) -> Iterator[dict[str, Any]]:
        """Yield batches with the numbers of dates. start: the first row."""
        of = {column: name for name in self.dates for column in self._columns(name)}
        read = {
            of.get(name, name): self._kind(of[name]) if name in of else kind for name, kind in kinds.items()
        }
        for batch in batches(read):
            found = {name: self._numbers(name, batch[name], start) for name in self.dates if name in read}
            values = {
                column: numbers
                for name, parts in found.items()
                for column, numbers in zip(self._columns(name), parts, strict=True)
            }
            yield {name: values[name] if name in of else batch[name] for name in kinds}
            first = next(iter(batch.values()))
            start += len(first[0] if isinstance(first, tuple) else first)

    def _kind(self, name: str) -> str:
        """Return how to ask for a column of dates: as moments, if they have a type."""
        return MOMENT if name in typed(self.source) and self.dates[name].order == "ymd" else TEXT

    def _numbers(self, name: str, values: Any, start: int) -> np.ndarray:
        """Return the numbers (n_parts, m) of a batch of dates. start: its first row."""
        if self._kind(name) == MOMENT:
            return numbers_of(values, self.dates[name].parts)
        codes, texts = values
        dates = self.dates[name]
        none = (np.nan,) * len(dates.parts)
        found = [none if not text or text in self.missing else dates.numbers(text) for text in texts]
        wrong = np.flatnonzero(np.isin(codes, [k for k, numbers in enumerate(found) if numbers is None]))
        if len(wrong):
            i = int(wrong[0])
            raise ValueError(
                f"{self.name}, {self.source.place(start + i)}, column '{name}': {quoted(texts[codes[i]])} is "
                f"not a date written as in the table that was trained on ({WRITTEN[dates.order]}); correct it"
            )
        return np.array([*found, none])[codes].T  # −1, a missing value, is the last entry

    def place(self, row: int) -> str:
        return self.source.place(row)

    def odd_one(self, name: str) -> tuple[str, str] | None:
        return self.source.odd_one(name) if name in self.source.kinds else None

    def fingerprint(self) -> str:
        return self.source.fingerprint()


@dataclass
class Evidence:
    """The dates seen so far in a column of strings.

    Attributes:
        fits: the number of strings that are dates, by order.
        texts: the number of strings.
        example: the first string.
        timed: whether a date has a time.
    """

    fits: dict[str, int]
    texts: int = 0
    example: str = ""
    timed: bool = False

    def add(self, text: str) -> None:
        """Take another string into account."""
        self.texts += 1
        self.example = self.example or text
        for order in self.fits:
            if moment := parse(text, order):
                self.fits[order] += 1
                self.timed = self.timed or moment.time() != datetime.time()

    @property
    def order(self) -> str:
        """The order of most strings; with slashes the month usually precedes the day, otherwise not."""
        most = [order for order, n in self.fits.items() if n == max(self.fits.values())]
        return most[0] if len(most) == 1 or "mdy" not in most else "mdy" if "/" in self.example else "dmy"

    @property
    def most(self) -> int:
        """The number of strings that are dates in this order."""
        return self.fits[self.order]

    @property
    def mostly(self) -> bool:
        """Whether almost all strings are dates."""
        return self.most > max(MANY, MOSTLY * self.texts)

    @property
    def dates(self) -> Dates | None:
        """How to read the dates; None if a string is not a date."""
        if not self.texts or self.most < self.texts:
            return None
        left_out = {*(() if self.timed else ("hour",)), *(("weekday",) if self.order == MONTHLY else ())}
        return Dates(self.order, tuple(part for part in PARTS if part not in left_out))


def find_dates(
    source: Source, names: Iterable[str], missing: Collection[str] = (), orders: Iterable[str] = FOUND
) -> dict[str, Evidence]:
    """Return what these columns show of dates, except for columns that soon prove to hold other strings."""
    names, known = list(names), typed(source)
    found = {name: Evidence(dict.fromkeys(orders, 0)) for name in names if name not in known}
    surely = seen(source, [name for name in names if name in known])
    given = {name: Evidence({"ymd": 1}, 1, text, timed) for name, text, timed in surely}
    for batch in source.batches(dict.fromkeys(found, TEXT)) if found else ():
        for name, evidence in list(found.items()):
            for text in batch[name][1]:
                if text and text not in missing:
                    evidence.add(text)
            if not evidence.mostly and evidence.most < evidence.texts:
                del found[name]
        if not found:
            break
    return {name: (given | found)[name] for name in names if name in given or name in found}


def with_dates(source: Source, options: TableOptions, target: str) -> Source:
    """Return the source with its columns of dates as numbers, or itself if there is none.

    Columns that the options drop or declare categorical and the target stay as they are, as do columns whose
    numbers would have the names of other columns.

    Raises ValueError, with the place, for a value of a column of `options.date` that is not a date.
    """
    missing, told = options.missing, options.date
    others = {*options.categorical, *options.drop, *told, target}
    names = [name for name, kind in source.kinds.items() if kind == TEXT and name not in others]
    found = find_dates(source, names, missing)
    for name in told:
        found[name] = _told(source, name, missing)
    dates = {
        name: how
        for name, evidence in found.items()
        if (how := evidence.dates) and not any(f"{name} {part}" in source.kinds for part in how.parts)
    }
    remarks = [_remark(source, name, found[name], missing) for name in found if not found[name].dates]
    if not dates and not remarks:
        return source
    return Dated(source, dates, missing, {name: found[name].example for name in dates}, remarks)


def _told(source: Source, name: str, missing: Collection[str]) -> Evidence:
    """Return what a column shows that the user says has dates.

    Raises ValueError, with the place, for a value that is not a date.
    """
    evidence = Evidence(dict.fromkeys(ORDERS, 0))
    for batch in source.batches({name: TEXT}):
        for text in batch[name][1]:
            if text and text not in missing:
                evidence.add(text)
    if evidence.most == evidence.texts:
        return evidence
    place, text = _first_other(source, name, evidence.order, missing)
    where = f"{source.name}, {place}, column '{name}': {quoted(text)} is not a date"
    if not evidence.most:
        raise ValueError(f"{where}; dates are written as 2024-03-12, 12.03.2024, 03/12/2024 or 12 Mar 2024")
    raise ValueError(
        f"{where} written like the others ({WRITTEN[evidence.order]}); correct it, or train with --missing "
        f"{quoted(text)} if it stands for a missing value"
    )


def _first_other(source: Source, name: str, order: str, missing: Collection[str]) -> tuple[str, str]:
    """Return the place and the text of the first value of a column that is not a date in this order."""
    start = 0
    for batch in source.batches({name: TEXT}):
        codes, texts = batch[name]
        others = [
            k for k, text in enumerate(texts) if text and text not in missing and not parse(text, order)
        ]
        if len(at := np.flatnonzero(np.isin(codes, others))):
            return source.place(start + int(at[0])), texts[codes[at[0]]]
        start += len(codes)
    raise AssertionError("every string is a date")


def _remark(source: Source, name: str, evidence: Evidence, missing: Collection[str]) -> str:
    """Say which string keeps a column from being read as dates."""
    place, text = _first_other(source, name, evidence.order, missing)
    return (
        f"has strings in the column '{name}': {place} has {quoted(text)} among dates; --missing "
        f"{quoted(text)} takes it for a missing value"
    )


def dates_of(source: Source, used: Collection[str] | None = None) -> dict[str, Dates]:
    """Return how the columns of dates of a source are read. used: only those with one of these numbers."""
    dates = source.dates if isinstance(source, Dated) else {}
    return {
        name: how
        for name, how in dates.items()
        if used is None or any(f"{name} {part}" in used for part in how.parts)
    }
