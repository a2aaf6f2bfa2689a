"""Every entry of an activation or a cost is complete, and everything else is derived from it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from helpers import MakeBackend
from problems import X, Y, linear

from gpunn import ACTIVATIONS, COSTS, INITIALIZERS, Activation, Cost, Dense, Network, reference
from gpunn.functions.activations import is_own
from gpunn.functions.costs import usual_for

SQUARE = Activation.from_functions(np.square, lambda z: 2 * z, name="relu")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_has_every_spelling(name: str) -> None:
    f = ACTIVATIONS[name]
    assert f.onnx and f.javascript and f.latex and f.init in INITIALIZERS
    assert (f.cuda is None) == f.by_column
    assert name in reference.ACTIVATIONS
    assert not is_own(f) and Dense(3, name).initializer == f.init


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_has_every_spelling(name: str) -> None:
    cost = COSTS[name]
    assert cost.latex and (cost.cuda or cost.cuda_columns)
    assert name in reference.COSTS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_values_lie_in_the_stated_interval(name: str) -> None:
    f, z = ACTIVATIONS[name], np.random.default_rng(0).standard_normal((4, 100), np.float32)
    a = np.asfortranarray(3 * z)
    for call in f.f(a, np.empty_like(a)):
        call()
    assert f.values[0] < a.min() or f.values[0] == -np.inf
    assert a.max() < f.values[1] or f.values[1] == np.inf
    if f.by_column:
        np.testing.assert_allclose(a.sum(0), 1, rtol=1e-6)


@pytest.mark.parametrize("thing", [*ACTIVATIONS.values(), *COSTS.values()], ids=lambda thing: thing.name)
def test_copies_of_an_entry_are_the_entry(thing: Activation | Cost) -> None:
    assert copy.deepcopy(thing) is thing
    assert pickle.loads(pickle.dumps(thing)) is thing
    assert hash(thing) == hash(copy.copy(thing))


def test_an_own_activation_has_no_other_spelling_whatever_its_name() -> None:
    assert is_own(SQUARE) and not SQUARE.gives_probabilities and not SQUARE.by_column
    assert (SQUARE.onnx, SQUARE.torch, SQUARE.javascript, SQUARE.latex) == (None,) * 4
    assert Dense(3, SQUARE).initializer == "glorot"


def test_a_cost_pairs_with_its_activation() -> None:
    entropy, binary = COSTS["cross-entropy"], COSTS["binary-cross-entropy"]
    assert entropy.pairs(ACTIVATIONS["softmax"]) and not entropy.pairs(ACTIVATIONS["sigmoid"])
    assert entropy.needs_distributions and not binary.needs_distributions
    assert not entropy.unpaired().pairs(ACTIVATIONS["softmax"])
    assert not COSTS["quadratic"].needs_distributions
    own = Activation.from_functions(np.tanh, lambda z: 1 - np.tanh(z) ** 2, name="sigmoid")
    assert binary.pairs(ACTIVATIONS["sigmoid"]) and not binary.pairs(own)
    assert [usual_for(f) for f in (ACTIVATIONS["sigmoid"], own)] == ["binary-cross-entropy", "quadratic"]


@pytest.mark.parametrize(
    ("name", "cost"),
    [("sigmoid", "binary-cross-entropy"), ("softmax", "cross-entropy"), ("exp", "poisson"), ("relu", "mae")],
)
@pytest.mark.filterwarnings("ignore:.*is defined for outputs")
def test_an_own_activation_is_not_taken_for_its_namesake(backend: MakeBackend, name: str, cost: str) -> None:
    def trained(name: str) -> Network:
        own = Activation.from_functions(
            lambda z: 1 / (1 + z * z),
            lambda z: -2 * z / (1 + z * z) ** 2,
            name,
            cuda=("1 / (1 + z * z)", "-2 * z * a * a"),
        )
        net = Network(5, [Dense(4, own), Dense(3, own)], cost, 0, "float64")
        net.fit(X, Y, epochs=3, batch_size=4)
        return net

    np.testing.assert_array_equal(trained(name).theta, trained("custom").theta)


@pytest.mark.parametrize("name", [name for name in COSTS if name not in ("quadratic", "poisson")])
def test_a_large_error_does_not_overflow(backend: MakeBackend, name: str) -> None:
    net = linear(name, output="softmax" if np.isfinite(COSTS[name].domain).any() else "identity")
    net.biases[0][:] = np.array([[1e200], [-1e200], [0]])
    loss, _ = net.evaluate(np.zeros((5, 12)), Y)
    assert np.isfinite(loss)
    assert all(np.isfinite(g).all() for pair in net.gradients(np.zeros((5, 12)), Y) for g in pair)
