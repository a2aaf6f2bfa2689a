"""The look of the help, shared by all commands."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand


class PlainHelp:
    """Help without the names of the arguments' types, without braces and without `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: None
            elif param.is_flag and param.metavar is None:
                param.metavar = ""
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [re.sub("[{}]", "", piece) for piece in pieces]


class Command(PlainHelp, TyperCommand):
    """A command with plain help."""


def new_app(completion: bool = False, **arguments: Any) -> typer.Typer:
    """Make an app without commands, with the options `-h` and `--help`."""
    return typer.Typer(
        rich_markup_mode="rich",
        add_completion=completion,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **arguments,
    )
