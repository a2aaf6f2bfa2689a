"""Columns of dates, read as numbers: year, month, weekday, hour, and days since 1970."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpunn.names import listed
from gpunn.tables.table import NUMBER, TEXT, Source, quoted

_TIME = r"(?:[T ]\s*(\d\d?):(\d\d)(?::(\d\d)(?:\.\d*)?)?\s*(?:Z|UTC|[-+]\d\d:?\d\d)?)?"
ORDERS = {  # of year, month and day, with the places of these in the string
    "ymd": (re.compile(rf"(\d{{4}})([-./])(\d\d?)\2(\d\d?){_TIME}"), (1, 3, 4)),
    "dmy": (re.compile(rf"(\d\d?)([-./])(\d\d?)\2(\d{{4}}){_TIME}"), (4, 3, 1)),
    "mdy": (re.compile(rf"(\d\d?)([-./])(\d\d?)\2(\d{{4}}){_TIME}"), (4, 1, 3)),
}
PARTS = ("year", "month", "weekday", "hour", "days")
EPOCH = datetime.datetime(1970, 1, 1)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Dates:
    """How the dates of a column are written, and which numbers they become.

    Attributes:
        order: "ymd", "dmy" or "mdy", the order of year, month and day.
        parts: some of PARTS. The hour has fractions, as have the days since 1970. Monday is weekday 0.
    """

    order: str
    parts: tuple[str, ...]

    def numbers(self, text: str) -> tuple[float, ...] | None:
        """Return the numbers of a date; None if it is not a date written in this order.

        >>> from gpunn.tables.dates import PARTS, Dates
        >>> Dates("ymd", PARTS).numbers("2024-02-29 18:30")
        (2024.0, 2.0, 3.0, 18.5, 19782.770833333332)
        """
        moment = parse(text, self.order)
        if moment is None:
            return None
        hour = moment.hour + moment.minute / 60 + moment.second / 3600
        values = moment.year, moment.month, moment.weekday(), hour, (moment - EPOCH) / DAY
        return tuple(float(value) for part, value in zip(PARTS, values, strict=True) if part in self.parts)


def parse(text: str, order: str) -> datetime.datetime | None:
    """Read a date, with or without a time, whose zone is ignored; None if it is no date in this order."""
    pattern, places = ORDERS[order]
    match = pattern.fullmatch(text.strip())
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(match[k] or 0) for k in (*places, 5, 6, 7))
        return datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


class Dated:
    """A source whose columns of dates are replaced by columns of numbers, such as "day month".

    Args:
        source: the source.
        dates: how to read the dates, by column.
        missing: further words that stand for a missing value.
        examples: a date of each column, for a note.

    Raises:
        ValueError: a column is missing.
    """

    def __init__(
        self,
        source: Source,
        dates: Mapping[str, Dates],
        missing: Collection[str] = (),
        examples: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.dates, self.missing, self.examples = source, dates, missing, examples or {}
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
        return [*self.source.notes, *([f"has dates, read as numbers: {listed(read)}"] if read else [])]

    @property
    def cautions(self) -> Sequence[str]:
        return self.source.cautions

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        of = {column: name for name in self.dates for column in self._columns(name)}
        read = {of.get(name, name): TEXT if name in of else kind for name, kind in kinds.items()}
        start = 0
        for batch in self.source.batches(read):
            found = {name: self._numbers(name, batch[name], start) for name in self.dates if name in read}
            values = {
                column: numbers
                for name, parts in found.items()
                for column, numbers in zip(self._columns(name), parts, strict=True)
            }
            yield {name: values[name] if name in of else batch[name] for name in kinds}
            first = next(iter(batch.values()))
            start += len(first[0] if isinstance(first, tuple) else first)

    def _numbers(self, name: str, values: Any, start: int) -> np.ndarray:
        """Return the numbers (n_parts, m) of a batch of dates. start: its first row."""
        codes, texts = values
        dates = self.dates[name]
        none = (np.nan,) * len(dates.parts)
        found = [none if not text or text in self.missing else dates.numbers(text) for text in texts]
        wrong = np.flatnonzero(np.isin(codes, [k for k, numbers in enumerate(found) if numbers is None]))
        if len(wrong):
            i = int(wrong[0])
            raise ValueError(
                f"{self.name}, {self.source.place(start + i)}, column '{name}': {quoted(texts[codes[i]])} is "
                f"not a date written as in the table that was trained on ({dates.order}); correct it"
            )
        return np.array([*found, none])[codes].T  # −1, a missing value, is the last entry

    def place(self, row: int) -> str:
        return self.source.place(row)

    def odd_one(self, name: str) -> tuple[str, str] | None:
        return self.source.odd_one(name) if name in self.source.kinds else None

    def fingerprint(self) -> str:
        return self.source.fingerprint()


def find_dates(
    source: Source, names: Iterable[str], missing: Collection[str] = ()
) -> dict[str, tuple[Dates, str]]:
    """Return how to read each of these columns of strings that has only dates, and an example.

    Reads the columns until each has a string that is not a date.
    """
    orders = {name: list(ORDERS) for name in names}
    examples, timed = dict[str, str](), set[str]()
    for batch in source.batches(dict.fromkeys(orders, TEXT)) if orders else ():
        for name in list(orders):
            for text in batch[name][1]:
                if not text or text in missing:
                    continue
                orders[name] = [order for order in orders[name] if parse(text, order)]
                if not orders[name]:
                    del orders[name]
                    break
                examples.setdefault(name, text)
                moment = parse(text, orders[name][0])
                if moment and moment.time() != datetime.time():
                    timed.add(name)
        if not orders:
            break
    found = {}
    for name, example in examples.items():
        if name in orders:
            parts = tuple(part for part in PARTS if part != "hour" or name in timed)
            found[name] = Dates(_choose(orders[name], example), parts), example
    return found


def _choose(orders: Sequence[str], example: str) -> str:
    """Choose between day and month first: with slashes it is usually the month, otherwise the day."""
    return orders[0] if len(orders) == 1 else "mdy" if "/" in example else "dmy"


def with_dates(
    source: Source, category: Collection[str], ignore: Collection[str], target: str, missing: Collection[str]
) -> Source:
    """Return the source with its columns of dates as numbers, or itself if there is none.

    Columns of `category` and `ignore` and the target stay as they are, as do columns whose numbers would have
    the names of other columns.
    """
    kept = {*category, *ignore, target}
    names = [name for name, kind in source.kinds.items() if kind == TEXT and name not in kept]
    found = {
        name: (how, example)
        for name, (how, example) in find_dates(source, names, missing).items()
        if not any(f"{name} {part}" in source.kinds for part in how.parts)
    }
    if not found:
        return source
    dates = {name: how for name, (how, _) in found.items()}
    return Dated(source, dates, missing, {name: example for name, (_, example) in found.items()})


def dates_of(source: Source, used: Collection[str] | None = None) -> dict[str, Dates]:
    """Return how the columns of dates of a source are read. used: only those with one of these numbers."""
    dates = source.dates if isinstance(source, Dated) else {}
    return {
        name: how
        for name, how in dates.items()
        if used is None or any(f"{name} {part}" in used for part in how.parts)
    }


def to_json(dates: Mapping[str, Dates]) -> dict[str, Any]:
    return {name: asdict(how) for name, how in dates.items()}


def from_json(kept: Mapping[str, Any]) -> dict[str, Dates]:
    return {name: Dates(how["order"], tuple(how["parts"])) for name, how in kept.items()}
