"""Check everything that a sweep is asked for, before anything trains."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpunn import backends
from gpunn.core.inputs import check_y, dense, is_sparse, on_device
from gpunn.core.layers import Dense
from gpunn.functions.costs import Cost
from gpunn.network import Network
from gpunn.sweeps import data as data_
from gpunn.sweeps import members as members_
from gpunn.sweeps import scoring, settings
from gpunn.sweeps.data import Data, Folds
from gpunn.sweeps.halving import Halving
from gpunn.sweeps.members import Member, Recipe
from gpunn.sweeps.scoring import Metric
from gpunn.sweeps.settings import Base, Grid, Settings
from gpunn.training.fit_options import FitOptions
from gpunn.training.identity import describe, describe_validation, fingerprint

OF_ONE_NETWORK = ("on_epoch_end", "optimizer_state", "checkpoint_every", "keep")

#: Options that the sweep itself takes care of, and their values for each network.
TAKEN = {"validation": None, "sample_weight": None, "checkpoint": None, "resume": False, "verbose": False}


@dataclass(frozen=True)
class Asked:
    """The arguments of `sweep` that say which networks to train."""

    layers: Sequence[Dense]
    cost: str | Cost | None
    dtype: DTypeLike
    input_dropout: float
    grid: Grid | None
    n: int | None
    seeds: int | Iterable[int]
    folds: Folds
    halving: int | Halving | None
    metric: str | None
    random_state: int


@dataclass(frozen=True)
class Prepared:
    """A sweep that can begin.

    Attributes:
        on_device: whether this process trains the networks on CUDA.
    """

    recipe: Recipe
    data: Data
    members: list[Member]
    metric: Metric
    halving: Halving | None
    on_device: bool

    @property
    def epochs(self) -> int:
        """The epochs of every network, if they do not vary."""
        return self.recipe.base.options.epochs

    def about(self) -> dict[str, str]:
        """Describe what all the networks have in common, in words that are the same in every process."""
        recipe, data, options = self.recipe, self.data, self.recipe.base.options
        common = {
            f.name: describe(getattr(options, f.name)) for f in fields(options) if f.name in settings.OF_FIT
        }
        folds = [part for fold in data.folds for part in fold]
        return {
            "data set": fingerprint(data.X, data.y, data.sample_weight),
            "validation": describe_validation(data.validation),
            "folds": fingerprint(*folds),
            "layers": ", ".join(f"{layer!r} {layer.initializer}" for layer in recipe.base.layers),
            "input dropout": str(recipe.base.input_dropout),
            "cost": str(getattr(recipe.cost, "name", recipe.cost)),
            "dtype": recipe.dtype,
            **{name.replace("_", " "): value for name, value in common.items()},
        }


def prepare(X: Any, y: Any, asked: Asked, options: FitOptions, *, here: bool) -> Prepared:
    """Check the arguments of `sweep`, and make its members.

    here: whether this machine trains the networks, not an executor.

    Raises what `sweep` raises.
    """
    _check_options(options)
    X, y = _as_arrays(X, y)
    if y.shape == X.shape[:1] != X.shape[1:]:
        raise ValueError(f"X is {X.shape} and y {y.shape}: transpose X, since its columns are the examples")
    net = _try_network(X.shape[0], asked)
    labels = check_y(y, X.shape[1], net.sizes[-1]).labels
    data = data_.gather(X, y, labels, options, asked.folds, asked.random_state)
    candidates = settings.expand(asked.grid, asked.n, asked.random_state)
    members = members_.all_members(candidates, members_.as_seeds(asked.seeds), len(data.folds))
    plain = options.changed(TAKEN)
    recipe = Recipe(net.sizes[0], Base(net.layers, net.dropout[0], plain), asked.cost, net.dtype.name)
    validated = options.validation is not None or asked.folds is not None
    metric = scoring.choose(
        asked.metric, scored=options.score is not None, validated=validated, classes=labels is not None
    )
    halving = _check_halving(asked.halving, candidates)
    members_.check(recipe, members, data, here=here)
    on_device = here and backends.choose(options.device, net.dtype).name != "cpu"
    if here and not on_device:
        recipe = recipe.on("cpu")
    return Prepared(recipe, data, members, metric, halving, on_device)


def _check_options(options: FitOptions) -> None:
    """Raise ValueError for options that do not make sense for many networks."""
    defaults = FitOptions()
    for name in OF_ONE_NETWORK:
        if getattr(options, name) != getattr(defaults, name):
            hint = ": use on_network_end" if name == "on_epoch_end" else ""
            raise ValueError(f"{name} is an option for one network, not for a sweep{hint}")
    if options.resume and options.checkpoint is None:
        raise ValueError("resume needs the folder of the sweep: pass checkpoint=FOLDER")


def _as_arrays(X: Any, y: Any) -> tuple[Any, np.ndarray]:
    """Return X column-major (or sparse, or on its device) and y. Raises ValueError if they are no arrays."""
    if y is None:
        raise ValueError("a sweep needs X and y: blocks of examples cannot be shared between networks")
    X = X.tocsc() if is_sparse(X) else X if on_device(X) else np.asfortranarray(X)
    if X.ndim != 2:
        raise ValueError(f"X must be (n_0, m), one example a column, not {X.shape}")
    return X, dense(y)


def _try_network(n_in: int, asked: Asked) -> Network:
    """Make a network without other settings, to check its arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the candidates are checked
        return Network(n_in, asked.layers, asked.cost, 0, asked.dtype, input_dropout=asked.input_dropout)


def _check_halving(halving: int | Halving | None, candidates: Sequence[Settings]) -> Halving | None:
    """Return successive halving. Raises ValueError if it does not suit the settings."""
    if halving is None:
        return None
    if any("epochs" in candidate for candidate in candidates):
        raise ValueError("epochs cannot vary with successive halving, which decides how long networks train")
    return halving if isinstance(halving, Halving) else Halving(halving)


def check_keys(members: Sequence[Member]) -> None:
    """Raise ValueError if a folder could not tell two members apart."""
    first: dict[str, Settings] = {}
    for member in members:
        if first.setdefault(member.key, member.settings) != member.settings:
            raise ValueError(
                "a checkpoint folder cannot tell the functions of a grid apart: use names, such as 'cosine'"
            )
