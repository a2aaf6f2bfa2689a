"""The members of a sweep: each is one network, made from its settings, its seed and its fold."""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpunn import backends
from gpunn.core import optimizers
from gpunn.core.inputs import check_examples
from gpunn.functions.costs import Cost
from gpunn.network import Network
from gpunn.sweeps.data import Data
from gpunn.sweeps.settings import Base, Settings, in_text, in_words
from gpunn.training import fit, schedules
from gpunn.training.candidates import shape_of
from gpunn.training.fit_options import FitOptions
from gpunn.training.reach import warn_out_of_reach

BIND = 3e-3  # seconds to bind a network on a CPU
STEP = 3e-6  # seconds that a step takes beside its products
FLOPS = 1.4e11  # floating-point operations a second of one core


@dataclass(frozen=True)
class Member:
    """One network of a sweep.

    Attributes:
        index: its row in the table, from 0.
        candidate: the number of its combination of settings.
        settings: the settings that vary, by name.
        seed: the network's random seed.
        fold: the fold that it is validated on, from 0; None without folds.
    """

    index: int
    candidate: int
    settings: Settings
    seed: int
    fold: int | None

    @property
    def key(self) -> str:
        """Its settings, seed and fold as JSON, equal in every process."""
        settings = {name: in_text(value) for name, value in sorted(self.settings.items())}
        return json.dumps([settings, self.seed, self.fold])

    @property
    def digest(self) -> str:
        """A checksum of its key, for the names of files."""
        return hashlib.blake2b(self.key.encode(), digest_size=10).hexdigest()


def all_members(candidates: Sequence[Settings], seeds: Sequence[int], folds: int) -> list[Member]:
    """Return a member for each candidate, fold and seed, in this order."""
    places: Sequence[int | None] = range(folds) if folds else [None]
    combined = [(c, fold, seed) for c in range(len(candidates)) for fold in places for seed in seeds]
    return [Member(i, c, candidates[c], seed, fold) for i, (c, fold, seed) in enumerate(combined)]


def as_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return the random seeds; a number n means 0…n − 1. Raises ValueError unless they are distinct."""
    chosen = list(range(seeds)) if isinstance(seeds, int | np.integer) else list(seeds)
    if not chosen or not all(isinstance(s, int | np.integer) and s >= 0 for s in chosen):
        raise ValueError(f"seeds must be a count, or whole numbers of at least 0, not {seeds!r}")
    if len(set(chosen)) < len(chosen):
        raise ValueError("seeds must be distinct")
    return [int(seed) for seed in chosen]


@dataclass(frozen=True)
class Recipe:
    """How to make the network of a member, and the options that it is trained with."""

    n_in: int
    base: Base
    cost: str | Cost | None
    dtype: str

    def of(self, member: Member) -> Base:
        """Return the layers and the options of a member."""
        return self.base.with_settings(member.settings)

    def on(self, device: str) -> Recipe:
        """Return a copy that trains on this device."""
        options = replace(self.base.options, device=device)
        return replace(self, base=replace(self.base, options=options))

    def network(self, member: Member) -> Network:
        """Return the untrained network of a member."""
        made = self.of(member)
        return Network(
            self.n_in, made.layers, self.cost, member.seed, self.dtype, input_dropout=made.input_dropout
        )

    def options(self, member: Member, data: Data) -> FitOptions:
        """Return the options of a member, with its data. A schedule that follows records is its own."""
        options = self.of(member).options
        given = data.of(member.fold)[2]
        if member.seed in data.by_seed:
            given = {**given, "validation": data.by_seed[member.seed]}
        return replace(options, schedule=deepcopy(options.schedule), **given)

    def alike(self, members: Iterable[Member], data: Data) -> list[list[Member]]:
        """Return groups of members that can be trained together: those of one shape."""
        groups: dict[tuple[Any, ...], list[Member]] = {}
        for member in members:
            made = self.of(member)
            shape = shape_of(made.layers, made.options, data.examples(member.fold))
            groups.setdefault(shape, []).append(member)
        return list(groups.values())

    def seconds(self, member: Member, data: Data) -> float:
        """Estimate the seconds that a member takes on one core of a CPU: to order work, not to promise."""
        made, m = self.of(member), data.examples(member.fold)
        sizes = [self.n_in, *(layer.n for layer in made.layers)]
        return estimate_seconds(sizes, m, made.options.epochs, made.options.batch_size)


def estimate_seconds(sizes: Sequence[int], m: int, epochs: int, batch_size: int) -> float:
    """Estimate the seconds that training on m examples takes on one core of a CPU."""
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    return float(BIND + epochs * (m / batch_size * STEP + 6 * weights * m / FLOPS))


def check(recipe: Recipe, members: Sequence[Member], data: Data, *, here: bool) -> None:
    """Raise ValueError, before anything trains, if a candidate's settings do not suit network or examples.

    here: whether the device must be available on this machine.
    """
    first = {member.candidate: member for member in reversed(members)}
    X, checked = data.X, np.broadcast_to(np.uint8(0), data.X.shape)  # as large, and quickly checked
    with warnings.catch_warnings():
        for place, member in enumerate(sorted(first.values(), key=lambda member: member.index)):
            try:
                _check_candidate(recipe, member, data, X if place == 0 else checked, here=here)
            except (ValueError, TypeError) as error:
                text = str(error)
                where = f" ({in_words(member.settings)})" if member.settings else ""
                raise type(error)(text if text.startswith("grid: ") else f"{text}{where}") from None
            if place == 0:
                warnings.simplefilter("ignore")  # say once what all of them have in common


def _check_candidate(recipe: Recipe, member: Member, data: Data, X: Any, *, here: bool) -> None:
    """Check a candidate as `fit` will, on all the examples X."""
    net, options = recipe.network(member), recipe.options(member, data)
    optimizers.get(options.optimizer)
    schedules.get(options.schedule)
    options.check(recipe.n_in, blocks=False)
    given = fit.check(net, options, X, data.y, data.sample_weight)
    warn_out_of_reach(net.layers[-1].f, given.y, stacklevel=5)
    options.check_metric(classes=given.y.labels is not None)
    if here:
        backends.choose(options.device, net.dtype, options.precision)
    if isinstance(data.validation, tuple):
        X_held, y_held = data.validation
        check_examples(X_held, y_held, net.sizes, net.cost)
