"""Look up names, with the nearest match in the error, and put lists and counts into words."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return table[name]. Raises ValueError with the nearest match and all the choices."""
    if name in table:
        return table[name]
    raise unknown(name, what, table)


def unknown(name: str, what: str, choices: Iterable[str]) -> ValueError:
    """Build the error for a name that is not one of the choices."""
    choices = list(choices)
    near = near_match(name, choices)
    hint = f"did you mean '{near}'? " if near else ""
    return ValueError(f"unknown {what} '{name}': {hint}choose from {listed(choices)}")


def listed(names: Collection[str], most: int = 40) -> str:
    """Join the names by commas; of very many, show the first ones and the number."""
    more = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(itertools.islice(names, most)) + more


def counted(n: int, noun: str) -> str:
    """Put a count into words, such as "1 row" or "1,000 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def near_match(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice spelt most like the name, if any is similar; case is ignored."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[near[0]] if near else None
