"""Dataclasses whose fields are command-line options, with the help of each option beside its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """The command-line option of a field, as in `epochs: Annotated[int | None, Option("Training", "…")]`.

    The option's name is the field's name: `batch_size` becomes `--batch-size`.

    Attributes:
        panel: panel of `--help` that lists the option.
        help: one or two sentences.
        default: what happens if the option is left out, in words; None to show the field's own default.
        least: smallest number allowed.
        metavar: placeholder of the value in `--help`; None for one that fits the type.
        former: an earlier name of the field, which still works as an option and in files.
    """

    panel: str
    help: str
    default: str | None = None
    least: int | None = None
    metavar: str | None = None
    former: str | None = None


def option_name(field: str) -> str:
    """Spell the name of a field as its option: `batch_size` as `--batch-size`."""
    return f"--{field.replace('_', '-')}"


def from_kept(record: type[T], kept: Mapping[str, Any]) -> T:
    """Build a record from the fields that a run kept, which may come from another version.

    A field that is newer than the run has its default; one that no longer exists is ignored.
    """
    names = {field.name: field.name for field in fields(record)} | former_names(record)  # type: ignore[arg-type]
    return record(**{names[name]: value for name, value in kept.items() if name in names})


def former_names(record: type) -> dict[str, str]:
    """Return the names of fields by their earlier names."""
    return {
        option.former: name
        for name, hint in get_type_hints(record, include_extras=True).items()
        for option in get_args(hint)
        if isinstance(option, Option) and option.former
    }
