"""Sample weights, class weights and label smoothing, against the textbook and by their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from problems import OF_CLASS, TARGETS, WEIGHTS, X, Y, close, linear

import gpunn
from gpunn import Dense, Network
from gpunn.backends import Host
from gpunn.core import plan
from gpunn.reference import Textbook

ETA = 0.1


def targets(y: np.ndarray, n_out: int, epsilon: float = 0) -> np.ndarray:
    """Return smoothed one-hot targets; with a single output, the smoothed label."""
    one_hot = y[None] if n_out == 1 else np.eye(n_out)[:, y]
    return (1 - epsilon) * one_hot + epsilon / max(n_out, 2)


def labels_for(n_out: int) -> np.ndarray:
    return Y if n_out > 1 else Y % 2


def stepped(cost: str, n_out: int, batch_size: int, y: np.ndarray, **settings: Any) -> tuple[Network, Any]:
    """Train a network of two layers for one epoch of plain gradient descent."""
    net = Network(5, [Dense(4, "tanh"), Dense(n_out, "sigmoid")], cost, 0, "float64")
    history = net.fit(
        X, y, epochs=1, batch_size=batch_size, optimizer=gpunn.SGD(ETA), **settings, validation=(X, y)
    )
    return net, history


def by_the_book(
    cost: str, T: np.ndarray, batch_size: int, weights: np.ndarray | None = None
) -> tuple[Textbook, list[float]]:
    """Train it by the textbook, and return each example's loss before its step."""
    net = Network(5, [Dense(4, "tanh"), Dense(len(T), "sigmoid")], cost, 0, "float64")
    book = Textbook(
        [w.copy() for w in net.weights], [b.copy() for b in net.biases], ["tanh", "sigmoid"], cost
    )
    weights, losses, order = np.ones(12) if weights is None else weights, [], net.rng.permutation(12)
    for start in range(0, 12, batch_size):
        batch = order[start : start + batch_size]
        losses += [weights[j] * book.loss(X[:, j : j + 1], T[:, j : j + 1]) for j in batch]
        gradients = [book.backprop(X[:, j : j + 1], T[:, j : j + 1]) for j in batch]
        for l in range(2):
            dw, db = (
                np.mean([weights[j] * g[l][k] for j, g in zip(batch, gradients, strict=True)], 0)
                for k in (0, 1)
            )
            book.weights[l], book.biases[l] = book.weights[l] - ETA * dw, book.biases[l] - ETA * db
    return book, losses


def same(net: Network, history: Any, book: Textbook, losses: list[float]) -> None:
    for mine, theirs in zip(net.weights + net.biases, book.weights + book.biases, strict=True):
        close(mine, theirs)
    assert history[0].loss == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("cost", gpunn.COSTS)
def test_weights_by_the_book(backend: MakeBackend, cost: str, n_out: int) -> None:
    """Use mini-batches of 5, 5 and 2."""
    y = labels_for(n_out)
    of_class = OF_CLASS[: max(n_out, 2)]
    net, history = stepped(cost, n_out, 5, y, sample_weight=WEIGHTS, class_weight=of_class)
    same(net, history, *by_the_book(cost, targets(y, n_out), 5, WEIGHTS * of_class[y]))
    assert history[0].validation_loss == pytest.approx(net.evaluate(X, y)[0], rel=1e-12)


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("cost", [name for name in gpunn.COSTS if name != "hinge"])
def test_smoothing_by_the_book(backend: MakeBackend, cost: str, n_out: int) -> None:
    y = labels_for(n_out)
    net, history = stepped(cost, n_out, 12, y, label_smoothing=0.2)
    same(net, history, *by_the_book(cost, targets(y, n_out, 0.2), 12))
    assert history[0].validation_loss == pytest.approx(net.evaluate(X, y)[0], rel=1e-12)
    plain = stepped(cost, n_out, 12, y)[1]
    assert history[0].accuracy == plain[0].accuracy


def test_softmax_with_weights_and_smoothing(backend: MakeBackend) -> None:
    net, before = linear("cross-entropy", output="softmax"), linear("cross-entropy", output="softmax")
    net.fit(
        X, Y, epochs=1, batch_size=12, optimizer=gpunn.SGD(ETA), sample_weight=WEIGHTS, label_smoothing=0.1
    )
    delta = WEIGHTS * (before.forward(X) - targets(Y, 3, 0.1))
    close(net.weights[0], before.weights[0] - ETA * delta @ X.T / 12)


def test_targets_can_have_weights(backend: MakeBackend) -> None:
    net, before = linear("quadratic"), linear("quadratic")
    net.fit(X, TARGETS, epochs=1, batch_size=12, optimizer=gpunn.SGD(ETA), sample_weight=WEIGHTS)
    delta = WEIGHTS * (before.forward(X) - TARGETS)
    close(net.weights[0], before.weights[0] - ETA * delta @ X.T / 12)


def test_a_weight_of_two_counts_the_example_twice(backend: MakeBackend) -> None:
    twice = np.repeat(np.arange(12), 2)
    nets = [linear("quadratic"), linear("quadratic")]
    nets[0].fit(X, Y, epochs=1, batch_size=12, sample_weight=np.full(12, 2), optimizer=gpunn.SGD(ETA))
    nets[1].fit(X[:, twice], Y[twice], epochs=1, batch_size=24, optimizer=gpunn.SGD(2 * ETA))
    close(nets[0].weights[0], nets[1].weights[0])


@pytest.mark.parametrize("n_out", [1, 3, 5])
def test_balanced_weights_are_scikit_learns(n_out: int) -> None:
    """Two of the five classes do not occur."""
    from sklearn.utils.class_weight import compute_class_weight

    y = labels_for(n_out)
    weights = compute_class_weight("balanced", classes=np.unique(y), y=y)
    given = dict(zip(np.unique(y), weights, strict=True))
    nets = [stepped("quadratic", n_out, 5, y, class_weight=w)[0] for w in ("balanced", given)]
    close(nets[0].weights[0], nets[1].weights[0], 0)
    assert not np.array_equal(nets[0].weights[0], stepped("quadratic", n_out, 5, y)[0].weights[0])


def test_a_dictionary_leaves_the_other_classes_alone(backend: MakeBackend) -> None:
    nets = [stepped("quadratic", 3, 5, Y, class_weight=w)[0] for w in ({1: 3.0}, [1, 3, 1])]
    close(nets[0].weights[0], nets[1].weights[0], 0)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_only_weights_lengthen_the_plan(smoothing: float) -> None:
    net, be = linear("quadratic"), Host("float64")
    be.repeats = False  # bind all steps
    model, p = net.bind(be), be.data.new_pass(12)

    def equations(**more: Any) -> int:
        update = gpunn.SGD().bind(be, model.theta)
        stages = plan.bind(model, be.data.examples(X, Y, None, **more), p, 12, 4, update=update)
        return sum(len(stage.equations) for stage in stages)

    plain = equations()
    assert equations(smoothing=smoothing) == plain
    assert equations(weights=WEIGHTS[None]) == plain + 3 + 1  # BP1 of three steps, measure


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (Y, {"sample_weight": WEIGHTS[:3]}, r"sample_weight must be \(12,\), not \(3,\)"),
        (Y, {"sample_weight": 2.0}, r"sample_weight must be \(12,\), not \(\)"),
        (Y, {"sample_weight": ["a"] * 12}, "sample_weight must be numbers, not <U1"),
        (Y, {"sample_weight": -WEIGHTS}, r"sample_weight\[0\] is -\d.*: weights must be 0 or more"),
        (
            Y,
            {"sample_weight": np.full(12, np.inf)},
            r"sample_weight\[0\] is inf: sample_weight must be fin",
        ),
        (Y, {"sample_weight": WEIGHTS * 1e200}, "the largest weight is .*, too large for float32"),
        (Y, {"sample_weight": [1e200] * 12, "class_weight": [1e200] * 3}, "the largest weight is inf, too"),
        (Y, {"class_weight": "balancd"}, "class_weight must be 'balanced', a dictionary or an array, not 'b"),
        (Y, {"class_weight": [1, 2]}, r"class_weight must be \(3,\), not \(2,\)"),
        (Y, {"class_weight": [1, 2, math.nan]}, r"class_weight\[2\] is nan: class_weight must be finite"),
        (Y, {"class_weight": {0: -1}}, r"class_weight\[0\] is -1.*: weights must be 0 or more"),
        (Y, {"class_weight": {3: 1}}, "class_weight names class 3, but the classes are 0…2"),
        (Y, {"class_weight": {"a": 1}}, "class_weight names class 'a', but the classes are 0…2"),
        (Y, {"class_weight": {0: "b"}}, "class_weight must be numbers"),
        (
            TARGETS,
            {"class_weight": "balanced"},
            "class_weight needs class labels, but y is targets: use s",
        ),
        (TARGETS, {"label_smoothing": 0.1}, "label_smoothing needs class labels, but y is targets"),
        (Y, {"label_smoothing": 1}, r"label_smoothing must be in \[0, 1\), not 1"),
        (Y, {"label_smoothing": -0.1}, r"label_smoothing must be in \[0, 1\), not -0.1"),
        (Y, {"label_smoothing": math.nan}, r"label_smoothing must be in \[0, 1\), not nan"),
    ],
)
def test_bad_weights_and_smoothing(y: np.ndarray, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        linear("quadratic").fit(X, y, **settings)
    assert "\n" not in str(error.value)


def test_hinge_takes_no_smoothed_labels() -> None:
    with pytest.raises(ValueError, match="hinge needs hard class labels: label_smoothing must be 0"):
        linear("hinge").fit(X, Y, label_smoothing=0.1)


def test_balanced_weights_count_sample_weights() -> None:
    counts = np.arange(len(Y)) % 3 + 1
    repeated = np.repeat(np.arange(len(Y)), counts)

    def trained(rows: Any, weights: Any) -> np.ndarray:
        net = Network(5, [Dense(4, "tanh"), Dense(3, "softmax")], seed=0, dtype="float64")
        given: dict[str, Any] = {"epochs": 5, "optimizer": gpunn.SGD(0.5), "shuffle": False, "device": "cpu"}
        net.fit(X[:, rows], Y[rows], batch_size=99, class_weight="balanced", sample_weight=weights, **given)
        return net.forward(X)

    weighted = trained(np.arange(len(Y)), counts / counts.mean())
    np.testing.assert_allclose(weighted, trained(repeated, None), rtol=1e-12)
