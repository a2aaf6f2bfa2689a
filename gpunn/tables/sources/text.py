"""Text files as blocks of whole lines in UTF-8, whatever their encoding, in bounded memory."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO

BLOCK = 1 << 20  # bytes
LONGEST = 64 << 20  # bytes in a line
LONGEST_GAP = 16 << 20  # bytes in a run of rows without values, which take time
BEYOND = 4 << 20  # bytes that are read after a mistake, to see whether a packed file is damaged
UTF_8, WINDOWS = "utf-8", "cp1252"
SHARE = 0.1  # of ASCII characters in a table in UTF-16, at least
MARKS = (
    (codecs.BOM_UTF8, UTF_8, "is UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "is UTF-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be", "is UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "is UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "is UTF-16"),
)


class TextFile:
    """A text file, decoded. Lines end in \\n, \\r\\n or \\r.

    Without a byte order mark, NULs in every other byte mean UTF-16. Otherwise the first block with characters
    beyond ASCII decides whether the file is UTF-8 or cp1252, which older programs on Windows write.

    Args:
        name: what messages call the file.
        open_: opens the bytes of the file.
        encoding: the encoding; None detects it.

    Attributes:
        note: the encoding, if it was recognised and is not plain UTF-8.
        guessed: whether the encoding is a guess, without a byte order mark.
    """

    def __init__(
        self, name: str, open_: Callable[[], AbstractContextManager[IO[bytes]]], encoding: str | None = None
    ) -> None:
        self.name, self.note, self._open = name, "", open_
        self.guessed = False
        self.encoding = codecs.lookup(encoding).name if encoding else None

    def blocks(self) -> Iterator[bytes]:
        """Yield the text in UTF-8, in blocks of whole lines.

        Raises ValueError, with the line, for bytes that are not text in the file's encoding, for a NUL byte,
        for a line of more than LONGEST bytes, and for more than LONGEST_GAP bytes of empty lines.
        """
        parts, size, done, gap = list[bytes](), 0, 0, 0
        for block in self._text():
            gap = 0 if block.strip(b"\r\n") else gap + len(block)
            if gap > LONGEST_GAP:
                raise ValueError(f"{self.name}: found {LONGEST_GAP >> 20} MiB of rows without any value")
            if cut := _whole_lines(block):
                yield b"".join([*parts, block[:cut]])
                parts, size, done = [], 0, done + size + cut
            parts.append(block[cut:])
            size += len(block) - cut
            if size > LONGEST:
                raise self._error(done, f"the line is longer than {LONGEST >> 20} MiB, too long for a table")
        if size:
            yield b"".join(parts)

    def _text(self) -> Iterator[bytes]:
        """Yield the text in UTF-8, in blocks that may end within a line."""
        done = 0
        for block, mistake in self._decoded():
            if (nul := block.find(b"\0")) >= 0:
                raise self._error(done + nul, "found a NUL byte; if the file is text, name its --encoding")
            yield block
            done += len(block)
            if mistake:
                raise self._error(done, f"{mistake}; name the file's encoding with --encoding")

    def _error(self, done: int, what: str) -> ValueError:
        """Return the error for a mistake after this many bytes of text.

        Some text beyond is read as well: if a packed file is damaged, that is the cause of the mistake, but
        only the checksum at the end of its block shows it. Raises ValueError in this case.
        """
        line, previous = 1, b""
        for block, _ in self._decoded():
            if done > 0:
                line += line_ends(block[:done]) - (previous.endswith(b"\r") and block.startswith(b"\n"))
            done, previous = done - len(block), block
            if done < -BEYOND:
                break
        return ValueError(f"{self.name}, line {line}: {what}")

    def _decoded(self) -> Iterator[tuple[bytes, str]]:
        """Yield blocks in UTF-8. The last one may come with the mistake that ends decoding."""
        with self._open() as file:
            head, encoding, decoder = file.read(BLOCK), self.encoding, None
            for mark, marked, note in MARKS:
                if head.startswith(mark) and encoding in (None, marked):
                    head, encoding, self.note = head[len(mark) :], marked, "" if self.encoding else note
                    break
            if encoding is None and (encoding := _unmarked(head)):
                self.note = "is UTF-16 without a byte order mark"
            for block in itertools.chain([head], iter(lambda: file.read(BLOCK), b""), [b""]):
                if block.isascii() and (encoding is None or (encoding == UTF_8 and not _pending(decoder))):
                    yield block, ""
                    continue
                if encoding is None:
                    encoding = self._guess(block)
                decoder = decoder or codecs.getincrementaldecoder(encoding)()
                try:
                    yield decoder.decode(block, final=not block).encode(), ""
                except UnicodeError as error:
                    yield _explained(error, encoding, guessed=self.encoding is None)
                    return

    def _guess(self, block: bytes) -> str:
        """Return the encoding of a file whose first block beyond ASCII is this one."""
        try:
            codecs.getincrementaldecoder(UTF_8)().decode(block)
        except UnicodeDecodeError:
            self.guessed = True
            self.note = f"is not UTF-8 and was read as {WINDOWS}; --encoding names another encoding"
            return WINDOWS
        return UTF_8


def _unmarked(head: bytes) -> str | None:
    """Return the encoding of UTF-16 without a byte order mark; None for other text.

    The high byte of an ASCII character is NUL, and those of a table's digits and delimiters are many.
    """
    first, second = (head[k::2].count(0) for k in (0, 1))
    pairs = len(head) // 2
    if not first and second > SHARE * pairs:
        return "utf-16-le"
    return "utf-16-be" if not second and first > SHARE * pairs else None


def _pending(decoder: codecs.IncrementalDecoder | None) -> bool:
    """Return whether the last block ended within a character."""
    return decoder is not None and bool(decoder.getstate()[0])


def _explained(error: UnicodeError, encoding: str, *, guessed: bool) -> tuple[bytes, str]:
    """Return the text before an error in decoding, and what is wrong."""
    if not isinstance(error, UnicodeDecodeError):  # such as UTF-16 without its byte order mark
        return b"", f"the text is not {encoding}: {error}"
    byte, before = error.object[error.start], error.object[: error.start]
    tried = f"neither UTF-8 nor {encoding}" if guessed and encoding == WINDOWS else f"not {encoding}"
    return before.decode(encoding, "replace").encode(), f"byte {byte:#04x} is {tried}"


def check_encoding(name: str) -> None:
    """Raise ValueError if there is no encoding of text of this name."""
    try:
        "".encode(name)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(
            f"unknown encoding {name!r}: name one that Python knows, such as utf-8, utf-16, cp1252 or gb18030"
        ) from None


def line_ends(text: bytes) -> int:
    """Count the ends of lines."""
    return text.count(b"\n") + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def _whole_lines(block: bytes) -> int:
    """Return the length of the lines that certainly end in the block: a last \\r may be half of \\r\\n."""
    return max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
