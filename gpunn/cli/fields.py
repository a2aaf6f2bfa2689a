"""Command-line options made from the fields of dataclasses, such as `Settings`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from gpunn.training.option import Option, option_name

T = TypeVar("T")
NUMBERS = {int: "a whole number", float: "a number"}
METAVARS = {int: "N", float: "X", str: "NAME", bool: ""}


def with_options(command: Callable[..., Any], *records: type) -> Callable[..., Any]:
    """Return the command with an option for each field of the records in place of its `**arguments`."""

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> Any:
        return command(**arguments)

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    made = [parameter for record in records for parameter in parameters(record)]
    keyword_only = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *made)]
    wrapper.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    return wrapper


def parameters(record: type) -> Iterator[inspect.Parameter]:
    """Yield a parameter for typer for each field of a dataclass that is annotated with an `Option`."""
    hints = get_type_hints(record, include_extras=True)
    for field in fields(record):
        kind, option = get_args(hints[field.name])
        several = get_origin(kind) is tuple  # of any length, which typer takes as a list
        annotation = Annotated[  # type: ignore[valid-type]
            list[get_args(kind)[0]] | None if several else kind,  # type: ignore[misc]
            _typer_option(field.name, kind, option),
        ]
        default = None if several else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )


def collect(record: type[T], arguments: Mapping[str, Any]) -> T:
    """Build a record from the arguments of a command."""
    chosen = {}
    for field in fields(record):  # type: ignore[arg-type]
        value = arguments[field.name]
        chosen[field.name] = tuple(value or ()) if isinstance(field.default, tuple) else value
    return record(**chosen)


def _typer_option(name: str, kind: Any, option: Option) -> Any:
    """Return the option of one field."""
    kinds = [kind, *get_args(kind), *(of for part in get_args(kind) for of in get_args(part))]
    plain = next(each for each in kinds if each in METAVARS)
    flags = {bool: [option_name(name)], bool | None: [f"{option_name(name)}/--no-{option_name(name)[2:]}"]}
    return typer.Option(
        *flags.get(kind, []),
        help=option.help,
        show_default=True if option.default is None else option.default,
        metavar=METAVARS[plain] if option.metavar is None else option.metavar,
        parser=number_parser(plain, option.least) if plain in NUMBERS else None,
        rich_help_panel=option.panel,
    )


def number_parser(kind: type, least: int | None) -> Callable[[str], Any]:
    """Return a function that reads a number of this kind, and refuses one below the least."""
    expected = NUMBERS[kind] + (f" of {least} or more" if least is not None else "")

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or (least is not None and value < least):
            raise typer.BadParameter(f"expected {expected}, not '{text}'")
        return value

    return parse
