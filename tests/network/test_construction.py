"""Building a network: sizes, views of θ, initial weights, the default cost, and bad arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_network import X, Y, small

import gpunn
from gpunn import Dense, Network


def test_three_blue_one_browns_network_has_13002_parameters() -> None:
    net = Network(784, [Dense(16), Dense(16), Dense(10)], cost="quadratic", seed=0)
    assert net.parameters == 13_002


def test_the_books_short_form() -> None:
    short = Network([784, 30, 10], seed=0)
    layers = [Dense(30, "sigmoid", "normal"), Dense(10, "sigmoid", "normal")]
    long = Network(784, layers, "quadratic", seed=0)
    assert repr(short) == repr(long)
    assert np.array_equal(short.weights[0], long.weights[0])


def test_shapes_and_views() -> None:
    net = small()
    assert [w.shape for w in net.weights] == [(8, 5), (3, 8)]
    assert [b.shape for b in net.biases] == [(8, 1), (3, 1)]
    before = net.forward(X)
    net.weights[0][:] = 0
    assert not np.allclose(net.forward(X), before)


def test_layers_are_column_major_on_256_byte_boundaries() -> None:
    net = small(dtype="float32")
    flat = net._theta.flat
    for w, b in zip(net.weights, net.biases, strict=True):
        assert w.flags.f_contiguous
        assert (w.ctypes.data - flat.ctypes.data) % 256 == 0
        assert b.ctypes.data == w.ctypes.data + w.nbytes


def test_the_seed_decides_the_initial_weights() -> None:
    assert np.array_equal(small(3).weights[0], small(3).weights[0])
    assert not np.array_equal(small(3).weights[0], small(4).weights[0])
    np.testing.assert_array_equal(small(3, "float32").weights[0], small(3).weights[0].astype("float32"))


@pytest.mark.parametrize(("init", "deviation"), [("normal", 1), ("scaled", 0.1), ("he", math.sqrt(0.02))])
def test_initial_deviation(init: str, deviation: float) -> None:
    w = Network(100, [Dense(400, init=init)], seed=0).weights[0]
    assert np.std(w) == pytest.approx(deviation, rel=0.02)


def test_glorot_is_bounded() -> None:
    w = Network(100, [Dense(200, init="glorot")], seed=0).weights[0]
    assert np.abs(w).max() <= math.sqrt(6 / 300)
    assert np.abs(w).max() > 0.99 * math.sqrt(6 / 300)


def test_zeros_warn_where_units_would_stay_equal() -> None:
    with pytest.warns(
        UserWarning, match="layers 1 and 2 begin with zeros: the 3 neurons between them will stay"
    ):
        net = Network(2, [Dense(3, init="zeros"), Dense(1, init="zeros")], seed=0)
    net.fit(X[:2], Y > 0, epochs=2, device="cpu")
    assert np.array_equal(net.weights[0][0], net.weights[0][2])
    Network(2, [Dense(1, init="zeros")])  # a single neuron has no symmetry to break
    Network(2, [Dense(3, init="zeros"), Dense(1)])  # and here the second layer breaks it


def test_the_output_activation_decides_the_default_cost() -> None:
    costs = {f: Network(2, [Dense(2, f)]).cost.name for f in ("softmax", "sigmoid", "identity")}
    assert costs == {
        "softmax": "cross-entropy",
        "sigmoid": "binary-cross-entropy",
        "identity": "quadratic",
    }


def test_a_doubtful_pairing_warns() -> None:
    with pytest.warns(UserWarning, match="cross-entropy is defined for outputs in \\(0, 1\\), but tanh"):
        Network(2, [Dense(2, "tanh")], cost="cross-entropy")


def test_repr_shows_layers_cost_and_dtype() -> None:
    expected = "Network(5, [Dense(8, 'tanh'), Dense(3, 'softmax')], cost='cross-entropy', dtype='float64')"
    assert repr(small()) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(3, "sigmod"), "unknown activation 'sigmod': did you mean 'sigmoid'"),
        (lambda: Dense(3, init="hee"), "unknown initializer 'hee': did you mean 'he'"),
        (lambda: Dense(0), "a layer needs at least one neuron, not 0"),
        (lambda: Network(0, [Dense(1)]), "at least one input, not 0"),
        (lambda: Network(3, []), "at least one layer"),
        (lambda: Network(3), "at least one layer"),
        (lambda: Network([3]), r"at least one input and one layer, not \[3\]"),
        (lambda: Network([]), "at least one input and one layer"),
        (lambda: Network(64, [30, 10]), r"a layer must be a Dense, such as Dense\(30, 'relu'\), not 30"),
        (lambda: Dense(3, np.tanh), "an activation must be a name, an Activation or a pair"),
        (lambda: small(cost=np.mean), "a cost must be a name or a Cost, not <function mean"),
        (lambda: gpunn.ReduceOnPlateau(3), "factor must be between 0 and 1, not 3"),
        (lambda: gpunn.ReduceOnPlateau(patience=-1), "patience must be at least 1, not -1"),
        (lambda: gpunn.ReduceOnPlateau(metric="los"), "unknown metric 'los': did you mean 'loss'"),
        (lambda: Network([3, 4], [Dense(2)]), "at least one input, not \\[3, 4\\]"),
        (lambda: small(cost="cross entropi"), "unknown cost .* did you mean 'cross-entropy'"),
        (lambda: small(dtype="float16"), "dtype must be float32 or float64, not float16"),
        (lambda: gpunn.SGD(-1), "learning_rate must be above 0, not -1"),
        (lambda: gpunn.SGD(nesterov=True), "nesterov needs a momentum above 0"),
        (lambda: gpunn.Adam(beta1=1), "beta1 must be in \\[0, 1\\), not 1"),
    ],
)
def test_arguments_that_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
