"""The tables of functions and the list of optimizers in docs/reference, made of their entries.

A line `{{ activations }}`, `{{ costs }}`, `{{ initializers }}` or `{{ optimizers }}` of a page is replaced.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from gpunn import ACTIVATIONS, COSTS, INITIALIZERS
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.functions.costs import FAMILIES

GREEK = {"delta": "δ", "tau": "τ", "spread": "spread"}


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


def optimizers() -> str:
    """A table of the optimizers' names, and the documentation of each."""
    rows, directives = [], []
    for name, make in OPTIMIZERS.items():
        public = f"gpunn.{make.__name__}"
        rows.append((f"`{name}`", f"{{py:obj}}`{public}`", f"{make().learning_rate:g}"))
        directives.append(f".. auto{'class' if inspect.isclass(make) else 'function'}:: {public}\n")
    table = _table(("name", "optimizer", "default learning rate"), rows)
    return "\n".join([table, "", "```{eval-rst}", *directives, "```"])


def fill_in(page: str) -> str:
    """The page with its tables and lists in place."""
    for table in (activations, costs, initializers, optimizers):
        page = page.replace(f"{{{{ {table.__name__} }}}}", table())
    return page


def _option(name: str) -> str:
    """A function's name as the command line takes it."""
    return name.replace(" ", "-")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
