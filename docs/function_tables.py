"""The tables of docs/reference/functions.md, made of the functions' entries.

A line `{{ activations }}`, `{{ costs }}` or `{{ initializers }}` of the page is replaced by its table.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from gpunn import ACTIVATIONS, COSTS, INITIALIZERS
from gpunn.functions.costs import FAMILIES

GREEK = {"delta": "δ", "tau": "τ"}


def activations() -> str:
    """A row for each activation: f, f′, its usual initialiser and its source."""
    rows = []
    for f in ACTIVATIONS.values():
        assert f.latex, f.name
        formula, derivative = f.latex
        rows.append((f"`{_option(f.name)}`", f"${formula}$", f"${derivative}$", f"`{f.init}`", f.source))
    return _table(("name", "$f(z)$", "$f'(z)$, with $a = f(z)$", "usual initialiser", "source"), rows)


def costs() -> str:
    """A row for each cost: C, the activation that it is paired with, and its source."""
    rows = []
    for cost in COSTS.values():
        assert cost.latex, cost.name
        paired = f"`{_option(cost.pairs_with)}`" if cost.pairs_with else ""
        name, formula = cost.name, f"${cost.latex}$"
        if name in FAMILIES:
            (parameter,) = inspect.signature(FAMILIES[name]).parameters.values()
            name += f"({GREEK[parameter.name]})"
            formula += f"; ${GREEK[parameter.name]} = {parameter.default:g}$ by default"
        rows.append((f"`{name}`", formula, paired, cost.source))
    return _table(("name", "$C$", "usual after", "source"), rows)


def initializers() -> str:
    """A row for each initialiser, whose docstring is the formula, a colon, and the source or the use."""
    docs = {name: (draw.__doc__ or "").rstrip(".") for name, draw in INITIALIZERS.items()}
    rows = [(f"`{name}`", *doc.split(": ", 1)) for name, doc in docs.items()]
    return _table(("name", "weights and biases", "source or use"), rows)


def fill_in(page: str) -> str:
    """The page with its tables in place."""
    for table in (activations, costs, initializers):
        page = page.replace(f"{{{{ {table.__name__} }}}}", table())
    return page


def _option(name: str) -> str:
    """A function's name as the command line takes it."""
    return name.replace(" ", "-")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
