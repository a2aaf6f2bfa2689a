"""Records of a CSV file, with their lines: a slower reader than pyarrow's, which does not count lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO
from typing import NamedTuple

from gpunn.tables.sources.text import line_ends


class Record(NamedTuple):
    """The values of a record, and its first and its last line."""

    line: int
    values: list[str]
    last: int


def lines_of(blocks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the lines of blocks of whole lines, with their numbers; blocks of empty lines are passed over."""
    number = 1
    for block in blocks:
        if not block.strip(b"\r\n"):  # millions of empty lines take no time
            number += line_ends(block) if b"\r" in block else len(block)
            continue
        for number, line in enumerate(block.splitlines(), start=number):  # noqa: B020
            yield number, line.decode()
        number += 1


def records_of(
    name: str, blocks: Iterable[bytes], delimiter: str, quote: str, longest: int
) -> Iterator[Record]:
    """Yield the records of a CSV file that are not empty.

    Raises ValueError, naming the file and the line, for a quote that is never closed, and for a record of
    more than `longest` characters.
    """
    splitter, first = Splitter(delimiter, quote), 0
    for line, text in lines_of(blocks):
        if not splitter.inside:
            if not text:
                continue
            first = line
        if splitter.feed(line, text):
            if splitter.size > longest:
                raise ValueError(f"{name}, line {first}: the row is longer than {longest >> 20} MiB")
            yield Record(first, splitter.values, line)
        elif splitter.size > longest:
            break
    if splitter.inside:
        how = f" within {longest >> 20} MiB" if splitter.size > longest else ""
        raise ValueError(f"{name}, line {splitter.opened}: the quote that opens here is never closed{how}")


class Splitter:
    """Split records into values, line by line, as pyarrow does: a quote counts at the start of a value.

    Attributes:
        values: the values of the last record.
        inside: whether the last line ended within quotes.
        opened: the line of the last opening quote.
        size: the length of the record so far.
    """

    def __init__(self, delimiter: str, quote: str) -> None:
        self.delimiter, self.quote = delimiter, quote
        self.values, self.inside, self.opened, self.size = list[str](), False, 0, 0
        self._value = StringIO()  # a value that spans several lines

    def feed(self, line: int, text: str) -> bool:
        """Add a line, and return whether the record is complete."""
        if not self.inside:
            self.values, self.size = [], len(text)
            if self.quote not in text:
                self.values = text.split(self.delimiter)
                return True
        else:
            self.size += len(text) + 1
        at = 0
        while True:
            quoted = ""
            if not self.inside and text.startswith(self.quote, at):
                self.inside, self.opened, at = True, line, at + 1
            if self.inside:
                end = self._closing(text, at)
                if end < 0:
                    self._value.write(text[at:] + "\n")
                    return False
                self._value.write(text[at:end])
                quoted = self._value.getvalue().replace(2 * self.quote, self.quote)
                self._value, self.inside, at = StringIO(), False, end + 1
            stop = text.find(self.delimiter, at)
            if stop < 0:
                self.values.append(quoted + text[at:])
                return True
            self.values.append(quoted + text[at:stop])
            at = stop + 1

    def _closing(self, text: str, at: int) -> int:
        """Return where the quotes close, or −1; a doubled quote does not close them."""
        while (end := text.find(self.quote, at)) >= 0 and text.startswith(self.quote, end + 1):
            at = end + 2
        return end
