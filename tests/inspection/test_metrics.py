"""Metrics of predictions equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from gpunn import Dense, Network
from gpunn.inspection.metrics import calibrate, figure, most_confused, per_class, probabilities


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_metrics_by_class_equal_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    y, predicted = np.array(pairs).T
    found = per_class(y, predicted, list("abcde"))
    assert found["confusion_matrix"] == confusion_matrix(y, predicted, labels=range(5)).tolist()
    expected = precision_recall_fscore_support(y, predicted, labels=range(5), zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in found["classes"]] == pytest.approx(values.tolist())


def test_a_class_without_examples() -> None:
    found = per_class(np.array([0, 1, 1]), np.array([0, 1, 1]), ["cat", "dog", "eel"])
    assert found["confusion_matrix"] == [[1, 0, 0], [0, 2, 0], [0, 0, 0]]
    assert found["classes"][2] == {"class": "eel", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


@pytest.mark.parametrize("m", [1, 7, 1000])
def test_calibration_equals_scikit_learns(m: int) -> None:
    rng = np.random.default_rng(m)
    confidence = rng.uniform(0.05, 1, m)
    right = rng.random(m) < confidence**2
    found = calibrate(confidence, right)
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    assert found.accuracy == pytest.approx(accuracy.tolist())
    assert found.confidence == pytest.approx(mean.tolist())
    assert sum(found.examples) == m
    by_hand = [
        np.sum(inside) / m * abs(right[inside].mean() - confidence[inside].mean())
        for low in np.arange(10) / 10
        if (inside := (confidence >= low) & (confidence < low + 0.1)).any()
    ]
    assert found.error == pytest.approx(sum(by_hand))


def test_a_confidence_of_1_falls_into_the_last_bin() -> None:
    found = calibrate(np.array([0.0, 1.0, 1.0]), np.array([False, True, False]))
    assert (found.confidence, found.accuracy, found.examples) == ((0.0, 1.0), (0.0, 0.5), (1, 2))
    assert found.error == pytest.approx(1 / 3)


def test_the_most_frequent_confusions_come_first() -> None:
    matrix = [[5, 1, 0], [3, 5, 2], [0, 0, 5]]
    assert most_confused(matrix, "abc") == [(3, "b", "a"), (2, "b", "c"), (1, "a", "b")]
    assert most_confused(matrix, "abc", most=1) == [(3, "b", "a")]


def test_probabilities_of_every_class() -> None:
    outputs = np.array([[0.2, 0.9]])
    sigmoid = Network(3, [Dense(1, "sigmoid")], seed=0)
    found = probabilities(sigmoid, outputs)
    assert found is not None
    np.testing.assert_allclose(found, [[0.8, 0.1], [0.2, 0.9]])
    assert probabilities(Network(3, [Dense(1, "tanh")], "quadratic", 0), outputs) is None


def test_numbers_are_formatted() -> None:
    assert figure("accuracy", 0.98321) == "98.32%"
    assert [figure("rmse", value) for value in (0.0123456, 12.3456, 60290.7, 1e13)] == [
        "0.01235",
        "12.35",
        "60,291",
        "1e+13",
    ]


def test_outputs_loss_and_accuracy_come_from_one_pass() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, 50)), rng.integers(0, 3, 50)
    net = Network(4, [Dense(8, "tanh", dropout=0.5), Dense(3, "softmax")], seed=0, dtype="float64")
    outputs, *rest = net.examine(X, y)
    np.testing.assert_array_equal(outputs, net.forward(X))
    assert tuple(rest) == net.evaluate(X, y)
