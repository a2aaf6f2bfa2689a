"""Look up names, with the nearest match in the error, and put lists and counts into words.

Capitals, spaces, hyphens and underscores do not count: "Leaky_ReLU" is "leaky relu".
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class OtherNames:
    """Names that other libraries give to the entries of a table.

    Attributes:
        aliases: a name of exactly the same thing: the name in the table. These names work.
        near: a name of something similar: what to choose instead. These names are refused with this advice.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    near: Mapping[str, str] = field(default_factory=dict)


def look_up(table: Mapping[str, T], name: str, what: str, others: OtherNames = OtherNames()) -> T:
    """Return the entry of this name. Raises ValueError with the nearest match and all the choices."""
    return table[name_in(table, name, what, others)]


def name_in(table: Collection[str], name: str, what: str, others: OtherNames = OtherNames()) -> str:
    """Return the table's own spelling of a name. Raises ValueError as `look_up` does."""
    if isinstance(name, str) and name in table:
        return name
    names = {_plain(alias): entry for alias, entry in others.aliases.items()}
    names |= {_plain(entry): entry for entry in table}
    wanted = _plain(str(name))
    if wanted in names:
        return names[wanted]
    advice = {_plain(known): instead for known, instead in others.near.items()}
    raise unknown(name, what, table, advice.get(wanted))


def _plain(name: str) -> str:
    """Return a name in lower case, without spaces, hyphens and underscores."""
    return re.sub(r"[ _-]", "", name.lower())


def unknown(name: str, what: str, choices: Iterable[str], instead: str | None = None) -> ValueError:
    """Build the error for a name that is not one of the choices.

    instead: what the user may have meant, if it is known; otherwise the choice spelt most like the name.
    """
    choices = list(choices)
    near = near_match(str(name), choices)
    instead = instead or (f"'{near}'" if near else None)
    hint = f"did you mean {instead}? " if instead else ""
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


def one_line(error: Exception) -> str:
    """Return the message of an error in one line, shortened to 200 characters."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
