"""Output: every line that a command prints goes through here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Control characters except tab and newline, and those that reorder text: a name may hold any of them, and a
# terminal would obey.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


LONGEST = 800  # characters of an error: a message may quote a name from a damaged file


class Failed(Exception):
    """A run failed through no fault of its input: the exit code is 1."""


def printable(text: str) -> str:
    """Escape the control characters in a text, as in `\\x1b[2J`."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(*lines: str, end: str = "\n", file: TextIO | None = None) -> None:
    """Print lines with their control characters escaped, on stdout unless another stream is given."""
    print(*(printable(line) for line in lines), sep="\n", end=end, file=file, flush=True)


def write(content: str) -> None:
    """Write data to stdout as they are, unless a terminal shows them."""
    sys.stdout.write(printable(content) if sys.stdout.isatty() else content)


def remark(line: str) -> None:
    """Print a line about the work on stderr."""
    say(f"gpunn: {line}", file=sys.stderr)


def warn(message: Any) -> None:
    """Print a warning in one line on stderr."""
    remark(f"warning: {' '.join(str(message).split())}")


def complain(message: Any) -> None:
    """Print an error in one line on stderr; the middle of a very long one is left out."""
    line = printable(" ".join(str(message).split()))
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}"
    remark(f"error: {line}")


@contextmanager
def naming(model: object, data: object) -> Iterator[None]:
    """Add the model and its data to the message of a ValueError that names neither."""
    try:
        yield
    except ValueError as error:
        if str(model) in str(error) or str(data) in str(error):
            raise
        raise ValueError(f"{model} on {data}: {error}") from None
