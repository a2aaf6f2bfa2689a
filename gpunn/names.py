"""Looking up things by name, with the near match in the error; and naming them in words."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Mapping
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
    near = near_match(name, choices)
    hint = f"did you mean '{near}'? " if near else ""
    return ValueError(f"unknown {what} '{name}': {hint}choose from {listed(choices)}")


def listed(names: Collection[str], most: int = 40) -> str:
    """The names, or the first of very many."""
    more = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(itertools.islice(names, most)) + more


def counted(n: int, noun: str) -> str:
    """How many there are, such as "1 row" or "1,000 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def near_match(name: str, choices: Iterable[str]) -> str | None:
    """The choice that is written most like the name, if one is; capitals make no difference."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[near[0]] if near else None
