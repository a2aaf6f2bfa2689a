"""The names that other libraries give to activations, costs, initialisers and optimizers."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.core import optimizers
from gpunn.functions import activations, costs, initializers

KINDS = {
    "activation": (gpunn.ACTIVATIONS, lambda name: activations.get(name).name, activations.OTHER_NAMES),
    "cost": (gpunn.COSTS, lambda name: costs.get(name).name, costs.OTHER_NAMES),
    "initializer": (gpunn.INITIALIZERS, initializers.name_of, initializers.OTHER_NAMES),
    "optimizer": (optimizers.OPTIMIZERS, optimizers.name_of, optimizers.OTHER_NAMES),
}
RESPELT = [str.upper, str.title, lambda name: name.replace("-", "_"), lambda name: name.replace(" ", "-")]


@pytest.mark.parametrize("kind", KINDS)
def test_other_names_lead_to_entries(kind: str) -> None:
    table, name_of, others = KINDS[kind]
    assert not {*others.aliases, *others.near} & {*table}
    for alias, name in others.aliases.items():
        assert name in table and name_of(alias) == name_of(name)
    for name, instead in others.near.items():
        assert any(f"'{entry}'" in instead for entry in table)
        with pytest.raises(ValueError) as error:
            name_of(name)
        assert str(error.value).startswith(f"unknown {kind} '{name}': did you mean {instead}? choose from ")


@pytest.mark.parametrize("kind", KINDS)
def test_capitals_and_hyphens_do_not_count(kind: str) -> None:
    table, name_of, others = KINDS[kind]
    for name in (*table, *others.aliases):
        for respell in RESPELT:
            assert name_of(respell(name)) == name_of(name)
    with pytest.raises(ValueError, match=f"unknown {kind} 'nothing like it': choose from "):
        name_of("nothing like it")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("binary_crossentropy", "binary-cross-entropy"),
        ("BCE", "binary-cross-entropy"),
        ("categorical_crossentropy", "cross-entropy"),
        ("sparse_categorical_crossentropy", "cross-entropy"),
        ("nll", "cross-entropy"),
        ("mean_absolute_error", "mae"),
        ("l1", "mae"),
        ("smooth_l1", "huber"),
    ],
)
def test_a_network_keeps_the_name_of_gpunn(name: str, expected: str) -> None:
    net = gpunn.Network(3, [gpunn.Dense(2, "Logistic", init="Xavier_uniform")], cost=name, seed=0)
    assert (net.cost.name, net.layers[0].f.name, net.layers[0].init) == (expected, "sigmoid", "glorot")


def test_mean_squares_are_not_half_squares() -> None:
    with pytest.raises(ValueError, match="did you mean 'quadratic' \\(½ Σ \\(a − y\\)²\\)"):
        gpunn.Network(3, [gpunn.Dense(2)], cost="mse")


@pytest.mark.parametrize(
    "text",
    [
        "Dense(30)", "Dense(30, 'relu')", "Dense(30, 'relu', dropout=0.5)",
        "Dense(4, 'leaky relu', init='he')",
        "Dense(5, 'softmax', batch_norm=True)",
    ],
)  # fmt: skip
def test_the_repr_of_a_layer_makes_the_layer(text: str) -> None:
    layer = eval(text, {"Dense": gpunn.Dense})
    assert eval(repr(layer), {"Dense": gpunn.Dense}) == layer
    assert repr(layer) in (text, text.replace(")", ", 'sigmoid')"))


def test_the_repr_of_a_layer_names_a_function_of_the_users() -> None:
    assert repr(gpunn.Dense(np.int64(3), (np.sin, np.cos))) == "Dense(3, <custom>)"
