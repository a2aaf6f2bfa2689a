"""The settings that may vary in a sweep, and the combinations of a grid or a random search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from gpunn.core import optimizers
from gpunn.core.layers import Dense
from gpunn.core.optimizers import Optimizer
from gpunn.names import listed, unknown
from gpunn.training.fit_options import FitOptions
from gpunn.training.identity import describe
from gpunn.training.settings import OPTIMIZER_DEFAULTS, takers

Settings: TypeAlias = "dict[str, Any]"  # the settings of one candidate that vary, by name
Grid: TypeAlias = "Mapping[str, Any] | Sequence[Mapping[str, Any]]"

OF_LAYERS = ("hidden", "activation", "init", "dropout", "batch_norm")
OF_NETWORK = (*OF_LAYERS, "input_dropout")
OF_OPTIMIZER = tuple(dict.fromkeys(name for defaults in OPTIMIZER_DEFAULTS.values() for name in defaults))
OF_FIT = (
    "epochs",
    "batch_size",
    "optimizer",
    "schedule",
    "augmentation",
    "shuffle",
    "stop",
    "class_weight",
    "label_smoothing",
    "precision",
)
VARYING = (*OF_NETWORK, *OF_FIT, *OF_OPTIMIZER)


def expand(grid: Grid | None, n: int | None, random_state: int) -> list[Settings]:
    """Return the candidates: every combination of the grid, or n of them, drawn at random.

    Raises ValueError if a name is unknown, a value is not a list, or a distribution comes without n.
    """
    grids = [grid or {}] if isinstance(grid, Mapping | None) else list(grid)
    if not grids:
        raise ValueError("grid has no combinations: pass a dictionary, or leave it out")
    for part in grids:
        _check_grid(part, drawn=n is not None)
    if n is None:
        found = [dict(zip(part, values, strict=True)) for part in grids for values in product(*part.values())]
    else:
        found = _draw(grids, n, random_state)
    return [{name: _plain(name, value) for name, value in settings.items()} for settings in found]


def _draw(grids: list[Mapping[str, Any]], n: int, random_state: int) -> list[Settings]:
    """Draw n combinations at random; of fewer than n, each once."""
    from sklearn.model_selection import ParameterSampler  # takes most of a second to import

    if not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a whole number of at least 1, not {n!r}")
    distinct = _count(grids)
    most = n if distinct is None else min(n, distinct)
    names = list(dict.fromkeys(name for grid in grids for name in grid))
    drawn = ParameterSampler(grids, int(most), random_state=random_state)
    return [{name: settings[name] for name in names if name in settings} for settings in drawn]


def _check_grid(grid: Any, *, drawn: bool) -> None:
    """Raise ValueError unless the grid maps settings that may vary to lists, or to distributions if drawn."""
    if not isinstance(grid, Mapping):
        raise ValueError(f"grid must be a dictionary or a list of dictionaries, not {grid!r}")
    for name, values in grid.items():
        if name not in VARYING:
            raise _unknown(name)
        if hasattr(values, "rvs"):
            if not drawn:
                raise ValueError(f"grid: {name} is a distribution: pass n, the number of draws")
        elif isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
            raise ValueError(f"grid: {name} must be a list of values, not {values!r}")
        elif not len(values):
            raise ValueError(f"grid: {name} has no values")


def _unknown(name: str) -> ValueError:
    """Build the error for a name that cannot vary: an option of fit for all networks, or a misspelling."""
    fixed = [field.name for field in fields(FitOptions) if field.name not in VARYING]
    if name in fixed:
        return ValueError(f"grid: {name} cannot vary: pass {name}=… to sweep, for all networks")
    if name in ("cost", "seed", "seeds", "fold", "folds"):
        return ValueError(f"grid: {name} cannot vary in the grid: pass it to sweep")
    return ValueError(f"grid: {unknown(name, 'setting', VARYING)}")


def _count(grids: Sequence[Mapping[str, Any]]) -> int | None:
    """Count the combinations; None if there is a distribution."""
    if any(hasattr(values, "rvs") for grid in grids for values in grid.values()):
        return None
    return sum(int(np.prod([len(values) for values in grid.values()], dtype=np.int64)) for grid in grids)


def _plain(name: str, value: Any) -> Any:
    """Return a value as Python's own number, and the sizes of hidden layers as a tuple."""
    if isinstance(value, np.generic):
        value = value.item()
    if name == "hidden":
        if not isinstance(value, int | Sequence) or isinstance(value, str):
            raise ValueError(f"grid: hidden must be sizes of layers, such as (30, 20), not {value!r}")
        sizes = (value,) if isinstance(value, int) else tuple(value)
        return tuple(size for size in sizes if size != 0)
    return value


@dataclass(frozen=True)
class Base:
    """The settings that all networks of a sweep share, before those of a candidate replace some of them.

    Attributes:
        layers: layers 1…L.
        input_dropout: the share of the inputs that is dropped.
        options: the options of `fit`, without data.
    """

    layers: tuple[Dense, ...]
    input_dropout: float
    options: FitOptions

    def with_settings(self, settings: Settings) -> Base:
        """Return a copy with these settings. Raises ValueError if a value is out of range."""
        of_fit = {name: settings[name] for name in OF_FIT if name in settings}
        of_optimizer = {name: settings[name] for name in OF_OPTIMIZER if name in settings}
        options = self.options.changed(of_fit)
        if of_optimizer:
            options = options.changed({"optimizer": _tuned(options.optimizer, of_optimizer)})
        dropped = settings.get("input_dropout", self.input_dropout)
        return Base(_changed(self.layers, settings), dropped, options)


def _tuned(optimizer: str | Optimizer, settings: Settings) -> Optimizer:
    """Return an optimizer with other constants. Raises ValueError for constants that it does not have."""
    chosen: Any = optimizers.get(optimizer)
    known = [field.name for field in fields(chosen)]
    for name in settings:
        if name not in known:
            kind = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
            raise ValueError(f"grid: {name} applies to {listed(takers(name))}, not to {kind}")
    tuned: Optimizer = replace(chosen, **settings)
    return tuned


def _changed(layers: Sequence[Dense], settings: Settings) -> tuple[Dense, ...]:
    """Return layers with other hidden sizes, activation, dropout or initialiser.

    All settings are those of the hidden layers; `init` is that of the output layer as well.
    """
    *hidden, output = layers
    if "hidden" in settings:
        like = hidden[0] if hidden else Dense(1)
        hidden = [replace(like, n=n) for n in settings["hidden"]]
    of_hidden = {name: settings[name] for name in OF_LAYERS[1:] if name in settings}
    of_output = {name: value for name, value in of_hidden.items() if name == "init"}
    return (*(replace(layer, **of_hidden) for layer in hidden), replace(output, **of_output))


def plain(value: Any) -> Any:
    """Return a setting's value as a number, a text, a Boolean or None."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return in_text(value)


def in_text(value: Any) -> str:
    """Return a setting's value as a text that every process writes alike; of a function, only its type."""
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "0"
    return str(value) if isinstance(value, dict | list) else describe(value)


def in_words(settings: Settings) -> str:
    """Write settings in a line, such as "learning_rate 0.5, l2 0.0001"."""
    shown = {name: plain(value) for name, value in settings.items()}
    return ", ".join(f"{name} {f'{v:.4g}' if isinstance(v, float) else v}" for name, v in shown.items())


def names_of(candidates: Iterable[Settings]) -> list[str]:
    """Return the names of the settings that occur in any candidate, in order."""
    return list(dict.fromkeys(name for settings in candidates for name in settings))
