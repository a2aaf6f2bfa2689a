"""Which options were given on the command line."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from gpunn.training.option import option_name

# Options of `gpunn train` that do not change what is trained, and those that may stand beside --resume.
NOT_REPEATED = ("data", "output", "plot", "json", "debug")
BESIDE_RESUME = ("resume", "data_dir", "plot", "json", "debug")


def was_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option was given, rather than left at its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def given_options(ctx: typer.Context) -> list[str]:
    """Return the options to repeat in order to train the same network again."""
    found: list[str] = []
    for option in ctx.command.params:
        name = option.name or ""
        if not was_given(ctx, name) or name in NOT_REPEATED:
            continue
        value = ctx.params.get(name)
        if isinstance(value, bool):
            found.append((option.opts if value else option.secondary_opts)[0])
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            found += [option.opts[0], str(each)]
    return found


def check_resume_alone(ctx: typer.Context) -> None:
    """Raise ValueError if options were given beside --resume that the run has settled."""
    for name in ctx.params:
        if was_given(ctx, name) and name not in BESIDE_RESUME:
            what = "the data" if name == "data" else option_name(name)
            raise ValueError(f"--resume continues a run with its own settings: leave out {what}")


def repeat_option(option: str, args: Sequence[str]) -> list[str]:
    """Spell `--hidden 128 64 digits` as `--hidden 128 --hidden 64 digits`."""
    spread: list[str] = []
    for arg in args:
        if arg.isdecimal() and len(spread) > 1 and spread[-2] == option and spread[-1].isdecimal():
            spread.append(option)
        spread.append(arg)
    return spread


def refuse(options: Sequence[str], kind: str, data: str) -> None:
    """Raise ValueError if any of these options was given: they only apply to another kind of data."""
    if options:
        raise ValueError(f"{option_name(options[0])} only applies to {kind}, not to {data}")
