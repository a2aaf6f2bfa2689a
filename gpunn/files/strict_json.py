"""Write strict JSON, parse JSON, and check it against gpunn's schemas."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

MAX_MESSAGE = 200  # most characters of a schema's message
TAG = "number"


class InvalidJSON(ValueError):
    """A text that is not JSON."""


def dump_json(content: Any, indent: int | None = None) -> str:
    """Return content as JSON that any parser reads: NaN and the infinities, which JSON lacks, become null.

    >>> dump_json({"loss": math.nan, "folds": [1.5, math.inf]})
    '{"loss": null, "folds": [1.5, null]}'
    """
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        if "Circular" in str(error):
            raise
        return json.dumps(null_if_not_finite(content), indent=indent, allow_nan=False)


def null_if_not_finite(content: Any) -> Any:
    """Copy content with None in place of every number that is not finite, or too large for a float."""
    if isinstance(content, float | int):
        return content if abs(content) <= sys.float_info.max else None
    if isinstance(content, Mapping):
        return {name: null_if_not_finite(value) for name, value in content.items()}
    return [null_if_not_finite(value) for value in content] if isinstance(content, list | tuple) else content


def parse_json(text: str | bytes) -> Any:
    """Parse JSON. Raises InvalidJSON for any other text, including one nested too deeply.

    NaN and Infinity, which gpunn 0.1.0 wrote, are read as well.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(str(error)) from None


def tag_numbers(content: Any) -> Any:
    """Copy content with {"number": "inf"}, "-inf" or "nan" in place of numbers that JSON cannot express.

    >>> untag_numbers(tag_numbers({"best": math.inf}))
    {'best': inf}
    """
    if isinstance(content, float):
        return content if math.isfinite(content) else {TAG: str(content)}
    if isinstance(content, Mapping):
        return {name: tag_numbers(value) for name, value in content.items()}
    return [tag_numbers(value) for value in content] if isinstance(content, list | tuple) else content


def untag_numbers(content: Any) -> Any:
    """Undo `tag_numbers`."""
    if isinstance(content, dict):
        if content.keys() == {TAG} and content[TAG] in ("inf", "-inf", "nan"):
            return float(content[TAG])
        return {name: untag_numbers(value) for name, value in content.items()}
    return [untag_numbers(value) for value in content] if isinstance(content, list) else content


def explain_mismatch(content: Any, schema: str, part: str) -> str | None:
    """Say where and how JSON violates a part of one of gpunn's schemas; None if it conforms."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator(schema, part).iter_errors(content))
    if not error:
        return None
    message = error.message  # begins with the offending value, however long
    place = error.json_path.replace("$", part, 1)
    return f"{place}: {message if len(message) <= MAX_MESSAGE else f'…{message[-MAX_MESSAGE:]}'}"


@lru_cache
def _validator(schema: str, part: str) -> Any:
    """Build a validator for one part of a schema. JSON Schema accepts 8.0 as an integer; gpunn does not."""
    from jsonschema import Draft202012Validator, validators

    integers = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, x: type(x) is int)
    strict = validators.extend(Draft202012Validator, type_checker=integers)
    known = json.loads(files("gpunn").joinpath(f"files/schema/{schema}").read_text(encoding="utf-8"))
    return strict({"$defs": known["$defs"], "$ref": f"#/$defs/{part}"})
