"""Looking up things by name, with the near match in the error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """table[name], or a ValueError that names the near match and all the choices."""
    if name in table:
        return table[name]
    raise unknown(name, what, table)


def unknown(name: str, what: str, choices: Iterable[str]) -> ValueError:
    """The error for a name that is none of the choices."""
    choices = list(choices)
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return ValueError(f"unknown {what} '{name}': {hint}choose from {', '.join(choices)}")
