"""Class weights as they are written: `balanced`, or weights of classes by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from gpunn.names import unknown

BALANCED = "balanced"
PART = r"\s*(.+?)\s*=\s*([^=,]*?)\s*(?:,|$)"  # NAME=W,


def spell(weights: Mapping[object, float]) -> str:
    """Write weights by name as `parse` reads them.

    >>> from gpunn.training.class_weights import spell
    >>> spell({"no": 1, "yes": 5.5})
    'no=1,yes=5.5'
    """
    return ",".join(f"{name}={weight}" for name, weight in weights.items())


def parse(text: str | None, classes: Sequence[str]) -> str | dict[int, float] | None:
    """Return class weights as `Network.fit` takes them: "balanced", weights by class number, or None.

    A name ends at the last = before a number, so it may hold commas and equals signs.

    Raises ValueError if a class is unknown or named twice, or a weight is not a number of 0 or more.

    >>> from gpunn.training.class_weights import parse
    >>> parse("yes=5,no=0.5", ["no", "yes"])
    {1: 5.0, 0: 0.5}
    """
    if text is None or text == BALANCED or not classes:
        return text
    found: dict[int, float] = {}
    if not re.fullmatch(f"({PART})+", text):
        raise ValueError(f"--class-weight must be {BALANCED} or NAME=W,NAME=W,…, not {text}")
    for name, weight in re.findall(PART, text):
        if name not in classes:
            raise ValueError(f"--class-weight {text}: {unknown(name, 'class', classes)}")
        k = classes.index(name)
        if k in found:
            raise ValueError(f"--class-weight {text}: '{name}' is named twice")
        found[k] = _number(text, name, weight)
    return found


def _number(text: str, name: str, weight: str) -> float:
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"--class-weight {text}: '{name}' needs a weight of 0 or more, not '{weight}'")
    return value
