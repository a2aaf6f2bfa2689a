"""The source of the compiled kernels: this folder's C++ files, and the functions that entries spell in C.

Activations, costs and rules bring their C spellings with them. Each gets a loop of its own, at a place in a
table of functions, by which operations name it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.core.optimizers import OPTIMIZERS
from gpunn.core.rules import Rule
from gpunn.functions.activations import ACTIVATIONS, Activation
from gpunn.functions.activations.outputs import IDENTITY, SOFTMAX
from gpunn.functions.costs import COSTS, Cost

INCLUDE = re.compile(r'#include "(\w+\.hpp)"')
# costs that costs.hpp computes by columns, in the order of its tables
BY_COLUMNS = [("measure_hinge", "hinge_gradient"), ("measure_quantiles", "quantiles_gradient")]
SOFTMAX_PLACE = PAIRED_PLACE = -1  # neither has a function in a table
IDENTITY_PLACE = 0

ACTIVATION = """\
struct {name} {{
    INLINE T f(T z) {{ return {f}; }}
    INLINE T prime([[maybe_unused]] T a, [[maybe_unused]] T z) {{ return {prime}; }}
}};
"""
LOSS = """\
struct {name} {{
    INLINE T of([[maybe_unused]] T a, [[maybe_unused]] T y, [[maybe_unused]] T z,
                [[maybe_unused]] T PARAMETER) {{
        return {loss};
    }}
}};
"""
GRADIENT = """\
struct {name} {{
    INLINE T of(T a, T y, [[maybe_unused]] T PARAMETER) {{ return {gradient}; }}
}};
"""
RULE = """\
struct {name} {{
    static constexpr int states = {states};
    static void pace([[maybe_unused]] double n0, [[maybe_unused]] double n1, [[maybe_unused]] double n2,
                     double step, [[maybe_unused]] double eta, double* paces) {{
        [[maybe_unused]] const double p0 = pow(n0, step), p1 = pow(n1, step);
        paces[0] = {r0}, paces[1] = {r1};
    }}
    INLINE void move(T& x, T g, [[maybe_unused]] T& s0, [[maybe_unused]] T& s1, [[maybe_unused]] T n0,
                     [[maybe_unused]] T n1, [[maybe_unused]] T n2, T r0, [[maybe_unused]] T r1) {{
        {rule}
    }}
}};
"""


def _activations() -> list[tuple[str, str]]:
    """Return f and f′ of the elementwise activations; identity, which operations know, comes first."""
    others = (f.cuda for f in ACTIVATIONS.values() if f is not IDENTITY)
    assert IDENTITY.cuda
    return list(dict.fromkeys([IDENTITY.cuda, *filter(None, others)]))


def _losses() -> list[str]:
    """Return the losses in a, y and z."""
    spelled = (s for c in COSTS.values() if c.cuda for s in (c.cuda[0], c.cuda_of_z))
    return list(dict.fromkeys(filter(None, spelled)))


def _gradients() -> list[str]:
    """Return the costs' gradients in a and y."""
    return list(dict.fromkeys(c.cuda[1] for c in COSTS.values() if c.cuda))


def _rules() -> list[tuple[str, tuple[str, ...], int]]:
    """Return the rules, with their pace and the number of their states."""
    own = (r for r in OPTIMIZERS.values() if isinstance(r, type) and issubclass(r, Rule))
    return list(dict.fromkeys((r.cuda, r.pace, len(r.states)) for r in own if r.cuda))


F, LOSSES, GRADIENTS, RULES = _activations(), _losses(), _gradients(), _rules()


def place_of_activation(f: Activation) -> int | None:
    """Return the place of an activation; None if its function is not compiled."""
    return SOFTMAX_PLACE if f is SOFTMAX else _place(F, f.cuda)


def place_of_loss(cost: Cost, f: Activation) -> int | None:
    """Return the place of the loss after an activation; None if it is not compiled."""
    if cost.cuda_columns:
        return _place_by_columns(cost, LOSSES)
    spelled = cost.cuda_of_z if cost.reads_z(f) else cost.cuda and cost.cuda[0]
    return _place(LOSSES, spelled)


def place_of_gradient(cost: Cost, f: Activation) -> int | None:
    """Return the place of ∂C/∂a; None if it is not compiled."""
    if cost.cuda_columns:
        return _place_by_columns(cost, GRADIENTS)
    return PAIRED_PLACE if cost.pairs(f) else _place(GRADIENTS, cost.cuda and cost.cuda[1])


def parameter_of(cost: Cost) -> float:
    """Return the parameter of the functions of a cost; 0 if they have none."""
    return float(cost.cuda_parameters[0]) if cost.cuda_parameters else 0.0


def place_of_rule(rule: Rule) -> int | None:
    """Return the place of a rule; None if it is not compiled."""
    return _place(RULES, (rule.cuda, rule.pace, len(rule.states)))


def _place_by_columns(cost: Cost, elementwise: list[str]) -> int | None:
    """Return the place of a cost that is computed by columns: after the elementwise ones."""
    place = _place(BY_COLUMNS, cost.cuda_columns)
    return None if place is None else len(elementwise) + place


def _place(known: list[Any], spelled: Any) -> int | None:
    return known.index(spelled) if spelled in known else None


def source(dtype: np.dtype[Any]) -> str:
    """Return the source of the kernels for numbers of this dtype."""
    limits, double = np.finfo(dtype), dtype == np.float64
    suffix = "" if double else "f"
    # The loader gives templates of the same name, which both libraries have, the address of the first.
    return (
        f"#define gpunn gpunn_{dtype.name}\n"
        + ("#define DOUBLE\ntypedef double T;\n" if double else "typedef float T;\n")
        + f"constexpr T TINY = {limits.tiny}{suffix}, EPSNEG = {limits.epsneg}{suffix};\n"
        + _whole("program.cpp", set())
    )


def _whole(name: str, included: set[str]) -> str:
    """Return a file with the files that it includes in place of its #include lines, each once."""
    if name in included:
        return ""
    included.add(name)
    if name == "spellings.hpp":
        return _spellings()
    whole = []
    for number, line in enumerate(Path(__file__).with_name(name).read_text("utf-8").splitlines(), 1):
        if found := INCLUDE.match(line):
            whole.append(_whole(found[1], included) + f'#line {number + 1} "{name}"')
        elif line != "#pragma once":
            whole.append(line)
    return f'#line 1 "{name}"\n' + "\n".join(whole) + "\n"


def _spellings() -> str:
    """Write the functions of all entries as structs, and lists of their names."""
    rules = [{"rule": r, "r0": pace[0], "r1": [*pace, "0"][1], "states": n} for r, pace, n in RULES]
    return "\n".join(
        [
            "\nnamespace gpunn {\n",
            _structs("ACTIVATIONS", ACTIVATION, [{"f": f, "prime": prime} for f, prime in F]),
            _structs("LOSSES", LOSS, [{"loss": loss} for loss in LOSSES]),
            _structs("COST_GRADIENTS", GRADIENT, [{"gradient": gradient} for gradient in GRADIENTS]),
            _structs("RULES", RULE, rules),
            "}  // namespace gpunn\n",
        ]
    )


def _structs(names: str, template: str, entries: Sequence[dict[str, Any]]) -> str:
    """Write a struct for each entry, and define `names` as the list of their names."""
    named = {f"{names}_{k}": entry for k, entry in enumerate(entries)}
    structs = [template.format(name=name, **entry) for name, entry in named.items()]
    return "\n".join([*structs, f"#define {names} {', '.join(named)}\n"])
