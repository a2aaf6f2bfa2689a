"""How options are written on the command line, and which of them were given."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import typer

from gpunn.names import near_match
from gpunn.training.option import option_name

# Options of `gpunn train` that do not change what is trained, and those that may stand beside --resume.
NOT_REPEATED = ("data", "output", "overwrite", "plot", "dask", "mpi", "json", "debug")
BESIDE_RESUME = ("resume", "epochs", "data_dir", "plot", "json", "debug")

# What other programs call an option.
OTHER_SPELLINGS = {
    "--hidden": "hidden-layers hidden-layer-sizes layers units neurons",
    "--activation": "act activations",
    "--cost": "loss criterion objective",
    "--init": "initializer initialiser initialization weights-init",
    "--batch-norm": "bn batchnorm batch-normalization batch-normalisation",
    "--optimizer": "opt optim optimiser solver",
    "--learning-rate": "lr eta rate step-size learning-rate-init",
    "--schedule": "scheduler lr-schedule lr-scheduler",
    "--l2": "wd weight-decay decay alpha lambda",
    "--clip-norm": "clip grad-clip clip-grad gradient-clipping",
    "--epochs": "epoch n-epochs num-epochs iterations max-iter",
    "--batch-size": "batch bs batchsize minibatch mini-batch",
    "--patience": "early-stopping n-iter-no-change",
    "--seed": "random-state random-seed",
    "--device": "gpu cuda use-cuda use-gpu",
    "--precision": "dtype fp16 bf16 amp",
    "--output": "out out-dir output-dir outdir save",
    "--resume": "continue restore",
    "--target": "label labels class y",
    "--held-out": "test-size test-split val-split validation-split",
    "--cv": "folds k-folds cross-validation cross-validate",
    "--categorical": "categories categoricals cat",
    "--drop": "exclude skip",
    "--date": "dates datetime parse-dates",
    "--delimiter": "sep separator",
}


def unknown_option(option: str, known: Collection[str]) -> str:
    """Return the message for an option that the command does not have, with the nearest one it has."""
    near = other_spelling(option.lstrip("-"), known) or near_match(option, known)
    return f"No such option: {option}" + (f". Did you mean {near}?" if near else "")


def other_spelling(word: str, known: Collection[str]) -> str | None:
    """Return what is known, an option or a setting, that other programs call by this word."""
    others = (own for own, words in OTHER_SPELLINGS.items() if word.replace("_", "-") in words.split())
    spellings = (name for own in others for name in (own, own[2:].replace("-", "_")))
    return next((name for name in spellings if name in known), None)


def explain_usage(error: Any) -> str:
    """Return the message of a usage error of typer's, in gpunn's words if an option is unknown."""
    if hasattr(error, "possibilities") and hasattr(error, "option_name") and error.ctx:
        known = [option for parameter in error.ctx.command.params for option in parameter.opts]
        return unknown_option(error.option_name, known)
    message: str = error.format_message()
    return message


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


def renamed(args: Sequence[str], former: Mapping[str, str]) -> list[str]:
    """Return arguments in which options have their present names. former: present names by earlier ones."""
    names = {option_name(old): option_name(new) for old, new in former.items()}
    parts = (arg.partition("=") for arg in args)
    return ["".join((names.get(name, name), *value)) for name, *value in parts]


def check_resume_alone(ctx: typer.Context, beside: Collection[str], what: str) -> None:
    """Raise ValueError if options were given beside --resume, other than those that may be."""
    for option in ctx.command.params:
        name = option.name or ""
        if was_given(ctx, name) and name not in beside:
            given = "the data" if name == "data" else option.opts[0]
            raise ValueError(f"--resume continues {what} with its own settings: leave out {given}")


def check_network_left_out(ctx: typer.Context) -> None:
    """Raise ValueError if options were given beside --from that the model has settled."""
    from gpunn.training.settings import NETWORK

    for name in NETWORK:
        if was_given(ctx, name):
            raise ValueError(f"--from takes the network of the model as it is: leave out {option_name(name)}")


def repeat_options(args: Sequence[str], options: Sequence[Any]) -> list[str]:
    """Spell `--hidden 128 64 digits` as `--hidden 128 --hidden 64 digits`, and `--drop x z` alike.

    Words after an option of several values are further values, whole numbers only for `--hidden`. If no other
    word can be the data, the last of these words is the data.
    """
    several = {name for option in options if option.multiple for name in option.opts}
    valued = {name for option in options if not option.is_flag for name in option.opts}
    words: list[tuple[str, str | None]] = []  # each with the option whose further value it is
    option, has_data = None, False
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            words += [(each, None) for each in (arg, *rest)]
            has_data = True
        elif arg.startswith("-") and arg != "-":
            name, joined, _ = arg.partition("=")
            option = name if name in several else None
            words.append((arg, None))
            if name in valued and not joined:
                words += [(value, None) for value in itertools.islice(rest, 1)]
        else:
            further = option if option != "--hidden" or arg.isdecimal() else None
            has_data = has_data or further is None
            words.append((arg, further))
    if not has_data:
        _take_data(words)
    return [part for word, of in words for part in ((of, word) if of else (word,))]


def _take_data(words: list[tuple[str, str | None]]) -> None:
    """Let the last further value that can be the data be the data."""
    for at, (word, of) in reversed(list(enumerate(words))):
        if of and of != "--hidden":
            words[at] = (word, None)
            return


def refuse(options: Sequence[str], kind: str, data: str) -> None:
    """Raise ValueError if any of these options was given: they only apply to another kind of data."""
    if options:
        raise ValueError(f"{option_name(options[0])} only applies to {kind}, not to {data}")


def join_data(data: Sequence[str]) -> str | None:
    """Return the data to train on as one string. Raises a usage error for several, if not of Parquet."""
    from gpunn.tables.sources import places

    if len(data) < 2:
        return data[0] if data else None
    if not places.names_files(joined := places.join(data)):
        raise typer.BadParameter(f"got unexpected extra argument ({' '.join(data[1:])})")
    return joined
