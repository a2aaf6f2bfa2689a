"""The dialect of a CSV file, from its first lines: delimiter, quotes, and what comes before the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gpunn.tables.sources.blanks import TAB, WHITESPACE, is_aligned
from gpunn.tables.sources.header import MISSING_WORDS
from gpunn.tables.sources.records import Record
from gpunn.tables.spelling import is_written_number

DELIMITERS = ",;\t|"
SNIFFED, ENOUGH, FEW = 100, 4 << 20, 3  # lines, characters or values, and the records of very wide tables
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's first line
COMMENT = "#"


@dataclass(frozen=True)
class Dialect:
    """How a CSV file separates its values.

    Attributes:
        delimiter: the character between values.
        quote: the character around values that contain a delimiter.
        before: the number of lines before the table: 1 if Excel's line `sep=;` names the delimiter.
        aligned: whether runs of blanks separate the values; `with_tabs` puts the delimiter in their place.
    """

    delimiter: str
    quote: str = '"'
    before: int = 0
    aligned: bool = False


def first_lines(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the first lines that are not blank, up to SNIFFED lines or ENOUGH characters."""
    n = size = 0
    for number, line in lines:
        if line.strip():
            yield number, line
            n, size = n + 1, size + len(line)
        if n == SNIFFED or size > ENOUGH:
            return


def first_records(records: Iterable[Record]) -> list[Record]:
    """Return the first records, up to SNIFFED; of very wide tables fewer, but at least FEW."""
    found, size = list[Record](), 0
    for record in records:
        found.append(record)
        size += len(record.values)
        if len(found) == SNIFFED or (size > ENOUGH and len(found) >= FEW):
            break
    return found


def sniff(head: Sequence[tuple[int, str]], delimiter: str | None) -> Dialect:
    """Return the dialect of a file with these first lines.

    delimiter: one character, or WHITESPACE; None detects it.
    """
    before = 0
    if named := SEPARATOR.fullmatch(head[0][1].strip()):
        delimiter, before, head = delimiter or named[1], head[0][0], head[1:]
    lines = [line for _, line in head if not line.startswith(COMMENT)] or [line for _, line in head] or [""]
    aligned = delimiter == WHITESPACE or (not delimiter and is_aligned(lines, _outside(lines[0]), _is_number))
    delimiter = TAB if aligned else delimiter or max(DELIMITERS, key=_outside(lines[0]).count)
    quote = "'" if _has_single_quotes(lines, "[ \t]+" if aligned else re.escape(delimiter)) else '"'
    return Dialect(delimiter, quote, before, aligned)


def _outside(line: str) -> str:
    """Return what is outside of quotes."""
    return "".join(line.split('"')[::2])


def _is_number(word: str) -> bool:
    return word.lower() in MISSING_WORDS or is_written_number(word)


def _has_single_quotes(lines: Sequence[str], separator: str) -> bool:
    """Return whether a value of each line after the first is in single quotes, and none in double quotes.

    separator: a regular expression for what is between the values.
    """
    quoted = re.compile(rf"(?:^|{separator})'(?:[^']|'')*'(?:{separator}|$)")
    rest = lines[1:]
    return bool(rest) and all(quoted.search(line) and '"' not in line for line in rest)


def without_comments(records: Sequence[Record], is_number: Callable[[str], bool]) -> Sequence[Record]:
    """Leave out the comments before the table.

    A last comment with a value for each column is the header, as `numpy.savetxt` writes it, if the first
    record after it has a number.
    """
    if not records:
        return records
    n = next((k for k, record in enumerate(records) if not record.values[0].startswith(COMMENT)), 0)
    values = records[n].values
    if n and len(values) > 1 and any(value.strip() and is_number(value) for value in values):
        while n and len(records[n - 1].values) == len(values):
            n -= 1
    return records[n:]


def first_name(name: str) -> str:
    """Return the name of the first column: `numpy.savetxt` writes a comment sign before it."""
    return name.removeprefix(COMMENT).strip() if name.startswith(f"{COMMENT} ") else name


def surplus(records: Sequence[Record], fewest: int = 2) -> str:
    """Say which column has no name if all records, at least `fewest`, have one value more than the header.

    Returns "first", as R writes the names of rows; "last" for a delimiter at the end of each line; or "".
    """
    n, rest = len(records[0].values), records[1:]
    if len(rest) < fewest or any(len(record.values) != n + 1 for record in rest):
        return ""
    return "first" if any(record.values[-1].strip() for record in rest) else "last"
