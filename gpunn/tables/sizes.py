"""Sizes of memory, as they are written."""

from __future__ import annotations

import re

UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def parse(text: str) -> int:
    """Return the bytes of a size such as "2G", "512M" or "1.5 GiB".

    Raises ValueError for anything else.

    >>> from gpunn.tables.sizes import parse
    >>> parse("1.5G"), parse("200 MiB")
    (1610612736, 209715200)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * 2 ** UNITS[match[2].upper()]) if match else 0
    if size < 1:
        raise ValueError(f"--memory must be a size such as 2G or 500M, not {text!r}")
    return size


def in_words(nbytes: float) -> str:
    """Write a size as `parse` reads it, rounded up to three digits or fewer.

    >>> from gpunn.tables.sizes import in_words
    >>> in_words(1610612736), in_words(209715200), in_words(5)
    ('1.5G', '200M', '1K')
    """
    for unit in "TGMK":
        size = nbytes / 2 ** UNITS[unit]
        if size >= 1:
            return f"{-(-size * 100 // 1) / 100 if size < 10 else -(-size // 1):g}{unit}"
    return "1K"
