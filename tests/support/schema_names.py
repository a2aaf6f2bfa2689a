"""The names of functions in the model schema. Run this file to update the schema from the entries."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gpunn import ACTIVATIONS, COSTS, INITIALIZERS
from gpunn.functions.costs import FAMILIES

PATH = Path(__file__).parents[2] / "gpunn/files/schema/model.json"


def updated(schema: str) -> str:
    """The text of the schema with the names of all activations, costs and initialisers."""
    schema = _replaced(schema, r'("activation": \{\s*"enum": )\[[^\]]*\]', _array(ACTIVATIONS, indent=10))
    schema = _replaced(schema, r'("init": \{ "enum": )\[[^\]]*\]', json.dumps(list(INITIALIZERS)))
    return _replaced(schema, r'("cost": \{\s*"type": "string",\s*"pattern": )".*"', json.dumps(_pattern()))


def _array(names: dict[str, object], indent: int) -> str:
    lines = ",\n".join(" " * (indent + 2) + json.dumps(name) for name in names)
    return f"[\n{lines}\n{' ' * indent}]"


def _pattern() -> str:
    """A regular expression for the name of a cost, with a parameter if the cost has one."""
    names = "|".join(name for name in COSTS if name not in FAMILIES)
    return rf"^({names}|({'|'.join(FAMILIES)})(\([0-9.e+-]+\))?)$"


def _replaced(schema: str, place: str, value: str) -> str:
    schema, n = re.subn(place, lambda found: found[1] + value, schema)
    assert n == 1, place
    return schema


if __name__ == "__main__":
    PATH.write_text(updated(PATH.read_text(encoding="utf-8")), encoding="utf-8")
