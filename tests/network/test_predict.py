"""`Network.predict` gives labels or numbers, and `fit` warns of targets that no output can take."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gpunn
from gpunn import Dense, Network
from gpunn.network import classify, predicts_labels

X = np.random.default_rng(0).standard_normal((4, 60))
LABELS = np.arange(60) % 3
ONE, THREE = 50 + X[0], np.stack([X[0], X[1] ** 2, 50 + X[2]])
GIVEN: dict[str, Any] = {"epochs": 1, "device": "cpu"}


@pytest.mark.parametrize(
    ("output", "cost", "y"),
    [
        ("identity", "quadratic", ONE),
        ("identity", "huber", ONE),
        ("identity", "quantile(0.9)", ONE),
        ("exp", "poisson", np.round(ONE)),
        ("relu", "quadratic", ONE),
        ("identity", "mae", THREE),
    ],
)
def test_numbers_are_predicted_as_numbers(output: str, cost: str, y: np.ndarray) -> None:
    n = 1 if y.ndim == 1 else len(y)
    net = Network(4, [Dense(5, "tanh"), Dense(n, output)], cost, seed=0)
    for _ in range(2):
        found, outputs = net.predict(X), net.forward(X)
        assert found.shape == y.shape and found.dtype == np.float32
        assert_array_equal(found, outputs if n > 1 else outputs[0])
        net.fit(X, y, **GIVEN)


@pytest.mark.parametrize(
    ("output", "cost", "n"),
    [
        ("sigmoid", "quadratic", 3),  # the book's network
        ("sigmoid", "cross-entropy", 3),
        ("sigmoid", "binary-cross-entropy", 1),
        ("softmax", None, 3),
        ("identity", "hinge", 3),
        ("identity", "hinge", 1),
    ],
)
def test_probabilities_and_margins_are_predicted_as_labels(output: str, cost: str | None, n: int) -> None:
    net = Network(4, [Dense(n, output)], cost, seed=0)
    for _ in range(2):
        assert_array_equal(net.predict(X), classify(net.forward(X), net.cost.threshold))
        net.fit(X, LABELS % max(n, 2), **GIVEN)


@pytest.mark.parametrize("output", ["identity", "tanh", "relu"])
@pytest.mark.parametrize("form", ["labels", "one-hot", "blocks"])
def test_labels_that_were_learnt_are_predicted(form: str, output: str, tmp_path: Path) -> None:
    net = Network(4, [Dense(3, output)], "quadratic", seed=0)
    assert net.predict(X).shape == (3, 60)
    if form == "blocks":
        net.fit([(X, LABELS)], **GIVEN)
    else:
        net.fit(X, LABELS if form == "labels" else np.eye(3)[:, LABELS], **GIVEN)
    net.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    for each in (net, again, pickle.loads(pickle.dumps(net)), net.folded(), net.astype("float64")):
        assert_array_equal(each.predict(X), np.argmax(each.forward(X), 0))
    assert "classes" not in net.meta and again.meta["classes"] == [0, 1, 2]
    net.fit(X, THREE / 100 + 0.1, **GIVEN, optimizer=gpunn.SGD(1e-9)) if output == "identity" else None
    assert predicts_labels(net) == (output != "identity")


def test_a_single_output_that_learnt_0_and_1_gives_numbers() -> None:
    net = Network(4, [Dense(1, "identity")], seed=0)
    net.fit(X, (X[0] > 0).astype(float), **GIVEN)
    assert_array_equal(net.predict(X), net.forward(X)[0])
    net.meta["classes"] = ["no", "yes"]
    assert set(net.predict(X)) <= {0, 1}


@pytest.mark.parametrize(
    ("output", "y", "message"),
    [
        ("sigmoid", ONE, r"outputs of sigmoid are in \[0, 1\], but the target y\[0\] is 50\.1257: scale"),
        ("tanh", 3 * X[:2], r"outputs of tanh are in \[-1, 1\], but the target y\[0, 2\] is 1.92127"),
        ("relu", -ONE, r"outputs of relu are 0 or more, but the target y\[0\] is -50"),
        ("softplus", -ONE, r"outputs of softplus are 0 or more"),
        ("exp", -ONE, r"outputs of exp are 0 or more"),
        ("softmax", THREE, r"outputs of softmax are in \[0, 1\], but the target y\[0, 1\] is"),
    ],
)
def test_targets_out_of_reach_warn_once(output: str, y: np.ndarray, message: str) -> None:
    n = 1 if y.ndim == 1 else len(y)
    for blocks in (False, True):
        net = Network(4, [Dense(n, output)], "quadratic", seed=0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net.fit(*([[(X, y), (X, y)]] if blocks else [X, y]), **GIVEN, optimizer=gpunn.SGD(1e-6))
        assert len(caught) == 1 and caught[0].filename == __file__
        assert re.search(message, str(caught[0].message))


@pytest.mark.parametrize(
    ("output", "y"),
    [
        ("sigmoid", np.clip(X[:2], 0, 1)),
        ("tanh", np.clip(X[:2], -1, 1)),
        ("relu", abs(ONE)),
        ("identity", ONE),
        ("elu", ONE),
        ("sigmoid", LABELS % 2),
    ],
)
def test_targets_within_reach_do_not_warn(output: str, y: np.ndarray) -> None:
    Network(4, [Dense(1 if y.ndim == 1 else 2, output)], "quadratic", seed=0).fit(X, y, **GIVEN)


@pytest.mark.parametrize("output", ["identity", "relu", "softmax"])
def test_outputs_that_overflow_raise_everywhere(output: str) -> None:
    net = Network(4, [Dense(3, "relu"), Dense(3, output)], "quadratic", seed=0)
    huge = np.full((4, 2), 3e38)
    net.weights[0][:] = net.weights[1][:] = 1
    for look in (
        lambda: net.predict(huge),
        lambda: net.evaluate(huge, [0, 1]),
        lambda: net.examine(huge, [0, 1]),
        lambda: net.gradients(huge, [0, 1]),
    ):
        with pytest.raises(ValueError, match="the outputs are not finite numbers: X is too large"):
            look()
