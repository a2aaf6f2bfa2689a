"""The rows of a CSV file as bytes for pyarrow, without comments and rows that hold only delimiters."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from gpunn.tables.sources.dialect import COMMENT, Dialect
from gpunn.tables.sources.records import Splitter
from gpunn.tables.sources.text import LONGEST_GAP, line_ends

EMPTY, COMMENTS = "empty row", "comment line"


class Cleaner:
    """Empty the lines that are no rows: only delimiters and blanks, or comments. Line numbers stay the same.

    A line that begins with # is a comment unless it has a value for each column.

    Raises ValueError for more than LONGEST_GAP bytes of lines without any value.

    Args:
        name: what messages call the file.
        dialect: the dialect of the file.
        columns: the number of columns; 0 if it is unknown, so that comments stay.

    Attributes:
        found: how many lines of each kind there were.
        odd: 1 if the number of quotes is odd, so that one of them may never be closed; otherwise 0.
    """

    def __init__(self, name: str, dialect: Dialect, columns: int) -> None:
        self.name, self.dialect, self.columns = name, dialect, columns
        self.found, self.odd = Counter[str](), 0
        delimiter, self._quote = re.escape(dialect.delimiter).encode(), dialect.quote.encode()
        self._first = rb" \t" + delimiter + (COMMENT.encode() if columns else b"")
        self._quick, self._any = (re.compile(rb"%b[%b]" % (end, self._first)) for end in (rb"\n", rb"[\r\n]"))
        comment = rb"|%b[^\r\n]*" % COMMENT.encode() if columns else b""
        self._line = re.compile(rb"([\r\n])([ \t%b]+(?=[\r\n])%b)" % (delimiter, comment))

    def clean(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks, which hold whole lines."""
        delimiter, length = self.dialect.delimiter.encode(), 0
        blanks = b" \t" + delimiter
        for block in blocks:
            if not block.strip(blanks + b"\r\n") and not self.odd:
                length += len(block)
                if length > LONGEST_GAP:
                    raise ValueError(f"{self.name}: found {LONGEST_GAP >> 20} MiB of rows without any value")
                if block.strip(b"\r\n"):
                    self.found[EMPTY] += sum(delimiter in line for line in block.splitlines())
                yield block.translate(None, blanks)
                continue
            length = 0
            ends = self._quick if _ends_in_newlines(block) else self._any
            if ends.search(block) or self._any.match(b"\n" + block[:1]):
                block = self._cleaned(block)
            elif self._quote in block:
                self.odd ^= block.count(self._quote) % 2
            yield block

    def _cleaned(self, block: bytes) -> bytes:
        odd, at, ended = self.odd, 0, block.endswith((b"\n", b"\r"))
        whole = b"\n" + block + (b"" if ended else b"\n")

        def emptied(match: re.Match[bytes]) -> bytes:
            nonlocal odd, at
            odd ^= whole.count(self._quote, at, match.start()) % 2
            at = match.start()
            kind = COMMENTS if match[2].startswith(COMMENT.encode()) else EMPTY
            if odd or (kind == COMMENTS and self._is_row(match[2])):
                return match[0]
            at = match.end()
            self.found[kind] += kind == COMMENTS or self.dialect.delimiter.encode() in match[2]
            return match[1]

        result = self._line.sub(emptied, whole)
        self.odd = odd ^ whole.count(self._quote, at) % 2
        return result[1:] if ended else result[1:-1]

    def _is_row(self, line: bytes) -> bool:
        splitter = Splitter(self.dialect.delimiter, self.dialect.quote)
        return splitter.feed(0, line.decode()) and len(splitter.values) == self.columns


def _ends_in_newlines(block: bytes) -> bool:
    """Return whether \n ends each line."""
    return b"\r" not in block or block.count(b"\r") == block.count(b"\r\n")


def after(blocks: Iterable[bytes], lines: int) -> Iterator[bytes]:
    """Yield the blocks without the first lines, and without those of empty lines only."""
    for block in blocks:
        if not lines and not block.strip(b"\r\n"):
            continue
        if lines and (held := line_ends(block) + (not block.endswith((b"\n", b"\r")))) <= lines:
            lines -= held
            continue
        if lines:
            block, lines = b"".join(block.splitlines(keepends=True)[lines:]), 0
        yield block


class Stream(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n
