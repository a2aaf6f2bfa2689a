"""Dates as people write them, and the numbers that they become."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_Y, _YY, _M, _D = r"(?P<year>\d{4})", r"(?P<year>\d\d|\d{4})", r"(?P<month>\d\d?)", r"(?P<day>\d\d?)"
_BY, _AGAIN, _GAP, _TH = r"(?P<by>[-./])", r"(?P=by)", r"[-/ ]", r"(?:st|nd|rd|th|\.)?"
_TIME = (
    r"(?:(?:T|,?\s)\s*(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d*)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?:Z|UTC|GMT|[-+]\d\d:?\d\d)?)?"
)


def _patterns(*dates: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(_WEEKDAY + date + _TIME, re.IGNORECASE) for date in dates)


MONTHLY, COMPACT = "ym", "yyyymmdd"
ORDERS = {  # of year, month and day
    "ymd": _patterns(f"{_Y}{_BY}{_M}{_AGAIN}{_D}", f"{_Y}{_GAP}{_NAME}{_GAP}{_D}"),
    "dmy": _patterns(
        f"{_D}{_BY}{_M}{_AGAIN}{_Y}",
        r"(?P<day>\d\d)(?P<by>[-.])(?P<month>\d\d)(?P=by)(?P<year>\d\d)",
        r"(?P<day>\d\d?)/(?P<month>\d\d?)/(?P<year>\d\d)",
        f"{_D}{_TH}{_GAP}?(?:of )?{_NAME},?{_GAP}?{_YY}",
    ),
    "mdy": _patterns(
        f"{_M}{_BY}{_D}{_AGAIN}{_Y}",
        r"(?P<month>\d\d?)(?P<by>[-/])(?P<day>\d\d?)(?P=by)(?P<year>\d\d)",
        f"{_NAME}{_GAP}?{_D}{_TH}(?:, ?|{_GAP}){_YY}",
    ),
    MONTHLY: _patterns(
        rf"{_Y}[-/](?P<month>\d\d)",
        rf"(?P<month>\d\d)[-/]{_Y}",
        f"{_NAME},?{_GAP}{_Y}",
        f"{_Y}{_GAP}{_NAME}",
    ),
    COMPACT: _patterns(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"),
}
FOUND = (
    "ymd",
    "dmy",
    "mdy",
    MONTHLY,
)  # without being told; 20240312 is a number unless --date says otherwise
WRITTEN = {
    "ymd": "year, month, day",
    "dmy": "day, month, year",
    "mdy": "month, day, year",
    MONTHLY: "year and month",
    COMPACT: "yyyymmdd",
}
CENTURY = 69  # two digits from 69 to 99 are years of the last century, as POSIX has it
PARTS = ("year", "month", "weekday", "hour", "days")
EPOCH = datetime.datetime(1970, 1, 1)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Dates:
    """How the dates of a column are written, and which numbers they become.

    Attributes:
        order: the order of year, month and day, a key of ORDERS.
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
    """Read a date, with or without a time, whose zone is ignored; None if it is no date in this order.

    >>> from gpunn.tables.dates import parse
    >>> print(parse("March 12, 2024 2:30 pm", "mdy"), parse("12-Mar-24", "dmy"))
    2024-03-12 14:30:00 2024-03-12 00:00:00
    """
    text = text.strip()
    match = next((found for pattern in ORDERS[order] if (found := pattern.fullmatch(text))), None)
    if match is None:
        return None
    parts = match.groupdict()
    month = MONTHS.index(parts["name"][:3].lower()) + 1 if "name" in parts else int(parts["month"])
    day = int(parts.get("day") or 1)
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    try:
        moment = datetime.datetime(_year(parts["year"]), month, day, hour, minute, second)
    except ValueError:
        return None
    return _of_the_half(moment, parts.get("half"))


def _year(digits: str) -> int:
    if len(digits) == 4:
        return int(digits)
    return int(digits) + (1900 if int(digits) >= CENTURY else 2000)


def _of_the_half(moment: datetime.datetime, half: str | None) -> datetime.datetime | None:
    """Return a moment told by a clock of twelve hours: "am", "pm", or None for one of twenty-four."""
    if half is None:
        return moment
    if not 1 <= moment.hour <= 12:
        return None
    return moment.replace(hour=moment.hour % 12 + 12 * (half[0].lower() == "p"))


def to_json(dates: Mapping[str, Dates]) -> dict[str, Any]:
    return {name: asdict(how) for name, how in dates.items()}


def from_json(kept: Mapping[str, Any]) -> dict[str, Dates]:
    return {name: Dates(how["order"], tuple(how["parts"])) for name, how in kept.items()}
