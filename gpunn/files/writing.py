"""Write files atomically, and check JSON against gpunn's schemas."""

from __future__ import annotations

import json
import os
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

LONG = 200  # most characters of a schema's message


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


class NotJSON(ValueError):
    """A text that is not JSON."""


def parse(text: str) -> Any:
    """Parse JSON. Raises NotJSON for any other text, including one nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJSON(str(error)) from None


def complaint(content: Any, schema: str, part: str) -> str | None:
    """The place and the message of the first violation of a part of one of gpunn's schemas, or None."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator(schema, part).iter_errors(content))
    if not error:
        return None
    words = error.message  # begins with the offending value, however long
    place = error.json_path.replace("$", part, 1)
    return f"{place}: {words if len(words) <= LONG else f'…{words[-LONG:]}'}"


@lru_cache
def _validator(schema: str, part: str) -> Any:
    """A validator for one part of a schema. JSON Schema accepts 8.0 as an integer; gpunn does not."""
    from jsonschema import Draft202012Validator, validators

    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, x: type(x) is int)
    strict = validators.extend(Draft202012Validator, type_checker=whole)
    known = json.loads(files("gpunn").joinpath(f"files/schema/{schema}").read_text(encoding="utf-8"))
    return strict({"$defs": known["$defs"], "$ref": f"#/$defs/{part}"})
