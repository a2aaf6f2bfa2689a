"""Write files atomically, and check JSON against gpunn's schemas."""

from __future__ import annotations

import json
import os
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

MAX_MESSAGE = 200  # most characters of a schema's message


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by a complete one, or leave it as it was. Raises OSError, with the path, on failure."""
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(beside, 0o666 & ~_umask())
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)  # Ctrl-C may come after os.replace
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# JSON


class InvalidJSON(ValueError):
    """A text that is not JSON."""


def parse_json(text: str) -> Any:
    """Parse JSON. Raises InvalidJSON for any other text, including one nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(str(error)) from None


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
