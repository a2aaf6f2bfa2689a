"""Numbers as people write them: "$1,234.50", "12.3 %", "1 200", "−5", digits of any script.

A column of strings is a column of numbers if every string that is not missing is a number, all with the same
decimal mark and unit. `Evidence` collects what a column shows, and `Spelling` keeps the decision, so that a
model reads other tables in the same way.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PERCENT = "%"
LONGEST = 80  # characters; longer strings are not numbers
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK"  # currencies that are often spelt in letters
SPELT = {  # characters with an ASCII equivalent; a comma and a point are also decimal marks
    **dict.fromkeys("\u2212\u2012\u2013\ufe63\uff0d", "-"),
    **dict.fromkeys("\ufe62\uff0b", "+"),
    **dict.fromkeys("\u2019\uff07", "'"),
    **dict.fromkeys("\u066b\uff0e", "."),
    **dict.fromkeys("\u066c\uff0c", ","),
    **dict.fromkeys("\u066a\uff05", PERCENT),
    "\ufeff": " ",
    "\u200b": " ",
}
SIGN_AND_UNIT = re.compile(rf"([-+]?)\s*(\S|{CODES})??\s*([-+]?)\s*([\d.,](?:.*[\d.,])?)\s*(\S|{CODES})??")
_EXPONENT = r"(?:[eE][-+]?\d+)?"
PLAIN = {
    ".": re.compile(rf"(?:\d+\.?\d*|\.\d+){_EXPONENT}"),
    ",": re.compile(rf"(?:\d+,?\d*|,\d+){_EXPONENT}"),
}
GROUPED = {  # thousands, also in the Indian manner: 12,34,567
    ".": re.compile(r"[1-9]\d{0,2}(?:(?:,\d{2,3})*,\d{3}|(?: \d{3})+|(?:'\d{3})+)(?:\.\d*)?"),
    ",": re.compile(r"[1-9]\d{0,2}(?:(?:\.\d{3})+|(?: \d{3})+|(?:'\d{3})+)(?:,\d*)?"),
}


@dataclass(frozen=True)
class Spelling:
    """How the numbers of a column are written.

    Attributes:
        decimal: the decimal mark, "." or ",". The other mark, a space or an apostrophe groups thousands.
        unit: the currency, "%", or "". The unit is not part of the number: "12.3%" is 12.3.
    """

    decimal: str = "."
    unit: str = ""

    def number(self, text: str) -> float | None:
        """Read a string as a number; None if it is not a number written in this way.

        >>> from gpunn.tables.spelling import Spelling
        >>> Spelling(unit="$").number("-$1,234.50"), Spelling(",", "€").number("1.234,50 €")
        (-1234.5, 1234.5)
        >>> Spelling().number("twelve") is None
        True
        """
        parts = split(text)
        if parts is None:
            return None
        sign, body, unit = parts
        value = value_of(body, self.decimal)
        if value is None or unit not in ("", self.unit) or (self.unit == PERCENT and value and not unit):
            return None
        return sign * value

    def describe(self) -> str:
        """Describe the spelling in a few words."""
        unit = f" and the unit {self.unit}" if self.unit else ""
        return f"decimal mark {self.decimal!r}{unit}"


def split(text: str) -> tuple[int, str, str] | None:
    """Split a string into sign, digits with their marks, and unit; None if it is not a number."""
    if len(text) > LONGEST:
        return None
    text = in_ascii(text)
    if text[:1] == "(" and text[-1:] == ")":  # accountants write -5 as (5)
        inner = split(text[1:-1])
        return (-1, *inner[1:]) if inner and inner[0] > 0 and "-" not in text and "+" not in text else None
    match = SIGN_AND_UNIT.fullmatch(text)
    if match is None:
        return None
    first, before, second, body, after = match.groups()
    units = [unit for unit in (before, after) if unit]
    if (first and second) or len(units) > 1 or not all(is_unit(unit) for unit in units):
        return None
    if before == PERCENT:
        return None
    return -1 if "-" in (first, second) else 1, body, units[0] if units else ""


def in_ascii(text: str) -> str:
    """Replace digits of other scripts, Unicode signs and spaces by those of ASCII, and strip."""
    if text.isascii():
        return text.strip()
    return "".join(map(_in_ascii, text)).strip()


def _in_ascii(character: str) -> str:
    if character.isascii():
        return character
    if character.isspace():
        return " "
    digit = unicodedata.decimal(character, None)
    return SPELT.get(character, character) if digit is None else str(digit)


def is_unit(unit: str) -> bool:
    return unit == PERCENT or len(unit) > 1 or unicodedata.category(unit) == "Sc"


def value_of(body: str, decimal: str) -> float | None:
    """Return the value of unsigned digits with this decimal mark; None if they are no number with it."""
    if not PLAIN[decimal].fullmatch(body):
        if not GROUPED[decimal].fullmatch(body):
            return None
        body = re.sub(r"[ ',]" if decimal == "." else r"[ '.]", "", body)
    return float(body.replace(",", "."))


@dataclass
class Evidence:
    """The numbers seen so far in a column of strings.

    Attributes:
        marks: the decimal marks with which all of them are numbers.
        units: the units seen, "" included.
        bare: whether a number other than 0 has no unit.
        first: the first string.
        example: the first string that is not as computers write numbers, or "".
    """

    marks: set[str] = field(default_factory=lambda: {".", ","})
    units: set[str] = field(default_factory=set)
    bare: bool = False
    first: str = ""
    example: str = ""

    def add(self, text: str) -> None:
        """Take another string into account."""
        parts = split(text)
        if parts is None:
            self.marks.clear()
            return
        _, body, unit = parts
        self.first = self.first or text
        self.marks = {mark for mark in self.marks if value_of(body, mark) is not None}
        if unit:
            self.units.add(unit)
        elif value_of(body, ".") or value_of(body, ","):
            self.bare = True
        if not self.example and not is_plain(text):
            self.example = text

    def fits(self, text: str) -> bool:
        """Take another string into account, and return whether all are still numbers of one spelling."""
        self.add(text)
        return self.possible

    @property
    def possible(self) -> bool:
        """Whether the strings so far can be numbers of one spelling."""
        mixed = len(self.units) > 1 or (self.bare and PERCENT in self.units)
        return bool(self.marks) and not mixed

    def spelling(self, point: str) -> Spelling:
        """Return the spelling. point: the decimal mark if both marks are possible."""
        mark = point if point in self.marks else min(self.marks)
        return Spelling(mark, next(iter(self.units), ""))


def is_plain(text: str) -> bool:
    """Return whether a string is a number as computers write it, with a decimal point."""
    return text.isascii() and PLAIN["."].fullmatch(text.removeprefix("-")) is not None


def from_json(kept: Mapping[str, Any]) -> dict[str, Spelling]:
    """Return the spellings by column that a model file keeps."""
    return {name: Spelling(**values) for name, values in kept.items()}


def is_written_number(text: str) -> bool:
    """Return whether people read a string as a number, with either decimal mark."""
    parts = split(text)
    return parts is not None and any(value_of(parts[1], mark) is not None for mark in (".", ","))
