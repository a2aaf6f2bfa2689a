"""The options of `gpunn sweep`, and the grid that they spell: `--grid learning_rate=0.5,1,3`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args, get_type_hints

from gpunn.cli.usage import other_spelling
from gpunn.names import unknown
from gpunn.sweeps.settings import VARYING
from gpunn.training.option import Option, option_name
from gpunn.training.settings import Settings

sweep = partial(Option, "Sweep")

CONSTANTS = {"true": True, "false": False, "none": None}
DECADE = 10  # a range that spans a factor of 10 or more is drawn from on a logarithmic scale
FIXED = ("augmentation", "shuffle", "stop")  # what varies in Python only


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The networks that a sweep trains, and how it compares them."""

    grid: Annotated[
        tuple[str, ...],
        sweep(
            "Settings to try, such as learning_rate=0.5,1,3 or hidden=30,128-64; all combinations are "
            "trained. With --draws also ranges: learning_rate=0.001..1.",
            "the settings as they are",
            metavar="NAME=VALUES …",
        ),
    ] = ()
    draws: Annotated[
        int | None, sweep("Draw this many combinations at random.", "all combinations", least=1)
    ] = None
    seeds: Annotated[
        int, sweep("Random seeds to train every combination with, counted from --seed.", least=1)
    ] = 1
    folds: Annotated[
        int | None,
        sweep(
            "Compare by cross-validation with this many folds.",
            "by a tenth of the training examples, held out",
            least=2,
        ),
    ] = None
    halving: Annotated[
        int | None,
        sweep(
            "Successive halving: keep one in this many combinations after each round of epochs.",
            "train all of them to the end",
            least=2,
        ),
    ] = None


def parse(words: Sequence[str], *, drawn: bool) -> dict[str, Any]:
    """Return the grid that the words NAME=VALUES spell.

    Raises ValueError if a word has no values, a name is unknown or repeated, or a range is not drawn from.
    """
    grid: dict[str, Any] = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values:
            raise ValueError(f"--grid {word}: write NAME=VALUE,VALUE,…, such as learning_rate=0.5,1,3")
        choices = [known for known in VARYING if known not in FIXED]
        if name not in choices:
            raise ValueError(f"--grid {word}: {_hint(name, choices)}")
        if name in grid:
            raise ValueError(f"--grid {word}: {name} is given twice")
        grid[name] = _values(word, name, values, drawn)
    return grid


def _hint(name: str, choices: Sequence[str]) -> str:
    """Say what to do about a name that cannot vary."""
    if name in ("seed", "seeds"):
        return "--seeds N trains every combination with N random seeds"
    if name in get_type_hints(Settings):
        return f"{name} cannot vary in a sweep: pass {option_name(name)} for all networks"
    near = other_spelling(name, choices)
    hint = f"unknown setting '{name}': did you mean '{near}'?"
    return hint if near else str(unknown(name, "setting", choices))


def _values(word: str, name: str, text: str, drawn: bool) -> Any:
    """Return the list of values, or the distribution of a range."""
    low, dots, high = text.partition("..")
    if not dots:
        values = [_value(name, part.strip()) for part in text.split(",")]
        kinds = get_type_hints(Settings).get(name, str)
        if str not in (kinds, *get_args(kinds)) and (texts := [v for v in values if isinstance(v, str)]):
            raise ValueError(f"--grid {word}: '{texts[0]}' is not a value of {name}")
        return values
    if not drawn:
        raise ValueError(f"--grid {word}: a range needs --draws, the number of combinations to draw")
    ends = _value("", low.strip()), _value("", high.strip())
    if (
        not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        or ends[0] >= ends[1]
    ):
        raise ValueError(f"--grid {word}: a range is LOW..HIGH, two numbers in ascending order")
    return _distribution(*ends)


def _distribution(low: float, high: float) -> Any:
    """Return the distribution of a range: whole numbers between two whole numbers, otherwise any numbers."""
    from scipy import stats

    if isinstance(low, int) and isinstance(high, int):
        return stats.randint(low, high + 1)
    return stats.loguniform(low, high) if 0 < low * DECADE <= high else stats.uniform(low, high - low)


def _value(name: str, text: str) -> Any:
    """Read a value: a number, true, false, none or a name; of `hidden`, the sizes of its layers."""
    if name == "hidden":
        sizes = text.split("-")
        if not all(size.isdecimal() for size in sizes):
            raise ValueError(f"--grid hidden={text}: write the sizes of the layers as in 128-64")
        return tuple(int(size) for size in sizes)
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text
