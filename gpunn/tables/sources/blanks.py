"""Columns that runs of spaces and tabs separate, as R's `write.table` and many UCI files have them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

WHITESPACE = "whitespace"  # in place of a delimiter
TAB = "\t"  # what separates the columns after `with_tabs`
TOKEN = re.compile(r""""[^"]*"|'[^']*'(?=\s|$)|\S+""")
PADDING = re.compile(r"\S {2,}\S")
NEARLY_ALL = 0.9  # of the rows; the others have a mistake, whose line is named later


def is_aligned(lines: Sequence[str], first: str, is_number: Callable[[str], bool]) -> bool:
    """Return whether blanks separate the columns of these lines, of which the first may be a header.

    Nearly all rows must have equally many words, and one column must be of numbers. If the first line has a
    delimiter, it can only be a tab, and all rows must be padded with spaces.

    Args:
        lines: the first lines, without comments.
        first: the first line without what is in quotes.
        is_number: whether a word is a number.
    """
    if len(lines) < 2:
        return False
    words = [TOKEN.findall(line) for line in lines]
    (n, times), *_ = Counter(map(len, words[1:])).most_common(1)
    if n < 2 or len(words[0]) not in (n, n - 1) or times < NEARLY_ALL * (len(lines) - 1):
        return False
    if any(delimiter in first for delimiter in ",;|"):
        return False
    if (tabs := first.count(TAB)) and (n <= tabs + 1 or not all(map(PADDING.search, lines))):
        return False
    rows = [row for row in words[1:] if len(row) == n]
    return any(all(is_number(row[k].strip("\"'")) for row in rows) for k in range(n))


def with_tabs(blocks: Iterable[bytes], quote: str) -> Iterator[bytes]:
    """Replace each run of blanks outside of quotes by a tab, and remove blanks at the ends of lines.

    A comment sign stays with the word after it.

    Args:
        blocks: the text, in blocks of whole lines.
        quote: the character around values that contain blanks.
    """
    q = re.escape(quote).encode()
    rest = rb"[^%b]*(?:%b%b[^%b]*)*(?:(%b)|\Z)" % (q, q, q, q, q)
    closing = re.compile(rest)
    part = re.compile(rb"(?<![^\s])%b%b|[ \t]*[\r\n][\s]*(?:#[ \t]+)?|[ \t]+" % (q, rest))
    inside = False

    def replaced(match: re.Match[bytes]) -> bytes:
        nonlocal inside
        found = match[0]
        if found.startswith(quote.encode()):
            inside = not match[1]
            return found
        ends = b"\r" in found or b"\n" in found
        return found.replace(b" ", b"").replace(b"\t", b"").replace(b"#", b"# ") if ends else b"\t"

    for block in blocks:
        kept = b""
        if inside and (match := closing.match(block)):
            kept, inside = match[0], not match[1]
        text = part.sub(replaced, b"\n" + block[len(kept) :] + b"\n")
        yield kept + text[1 : len(text) - 1]
