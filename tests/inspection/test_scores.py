"""Scores of probabilities, and the line about a model that is no better than its baseline."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score

from gpunn.inspection.scores import balanced_accuracy, fit_temperature, score_probabilities, tempered
from gpunn.report.facts import verdict


def probabilities(n, m=200):
    p = np.random.default_rng(n).random((n, m)).astype(np.float32)
    return np.arange(m) % n, p / p.sum(axis=0)


def test_scores_of_two_classes_are_those_of_the_second():
    y, p = probabilities(2)
    found = score_probabilities(y, p)
    assert found["roc_auc"] == roc_auc_score(y, p[1])
    assert found["brier"] == pytest.approx(brier_score_loss(y, p[1]), rel=1e-6)
    assert found["log_loss"] == pytest.approx(log_loss(y, p[1]), rel=1e-6)


def test_scores_of_more_classes_are_means_of_one_versus_rest():
    y, p = probabilities(4)
    found = score_probabilities(y, p)
    expected = roc_auc_score(y, p.T.astype(np.float64), multi_class="ovr", average="macro")
    assert found["roc_auc"] == pytest.approx(expected)
    assert found["brier"] == pytest.approx(np.mean(np.sum((p - np.eye(4)[y].T) ** 2, axis=0)), rel=1e-6)


def test_a_class_without_examples_does_not_count():
    y, p = probabilities(3)
    some = y < 2
    found = score_probabilities(y[some], p[:, some])
    assert found["roc_auc"] == np.mean([roc_auc_score(y[some] == k, p[k, some]) for k in (0, 1)])
    assert balanced_accuracy(y[some], p.argmax(axis=0)[some]) <= 1


def test_one_class_alone_has_no_ranking():
    y, p = probabilities(2)
    found = score_probabilities(np.zeros_like(y), p)
    assert found["roc_auc"] is found["average_precision"] is None and found["log_loss"] > 0


def test_independent_sigmoids_are_normalised():
    y, p = probabilities(3)
    assert score_probabilities(y, p / 2) == pytest.approx(score_probabilities(y, p), rel=1e-6)


def test_the_temperature_of_overconfident_probabilities_is_found():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (3, 3000))
    y = np.array([rng.choice(3, p=p) for p in softmax(z, axis=0).T])
    assert fit_temperature(y, softmax(2 * z, axis=0)) == pytest.approx(2, rel=0.1)
    assert fit_temperature(y, softmax(z / 2, axis=0).astype(np.float32)) == pytest.approx(0.5, rel=0.1)
    assert fit_temperature(y, softmax(z, axis=0)) == 1
    assert fit_temperature(y[:9], softmax(1.5 * z[:, :9], axis=0)) == 1  # too few to tell


def test_a_temperature_divides_the_logits():
    z = np.random.default_rng(0).normal(0, 3, (4, 20))
    expected = softmax(z / 1.7, axis=0)
    assert tempered(softmax(z, axis=0), 1.7) == pytest.approx(expected)
    single = tempered(softmax(z, axis=0).astype(np.float32), 1.7)
    assert single.dtype == np.float32 and single == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(tempered(np.array([[0.0], [1.0]], np.float32), 0.1)).all()


def test_balanced_accuracy_equals_scikit_learns():
    y, p = probabilities(3)
    predicted = p.argmax(axis=0)
    assert balanced_accuracy(y, predicted) == pytest.approx(balanced_accuracy_score(y, predicted))


def result(settings=None, **measures):
    tested = {name: value for name, value in measures.items() if name.startswith("test_")}
    baseline = {name: value for name, value in measures.items() if name not in tested}
    return {"settings": settings or {}, "baseline": baseline, **tested}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (result(test_accuracy=0.9, accuracy=0.6), ""),
        (result(test_rmse=2.0, rmse=3.0), ""),
        (result(), ""),
        (
            result(test_accuracy=0.6, accuracy=0.6),
            "No better than always predicting the most frequent class: accuracy 60.00% against 60.00%",
        ),
        (
            result(test_rmse=3.1, rmse=3.0),
            "No better than always predicting the mean: RMSE 3.1 against 3",
        ),
        (
            result({"class_weight": "balanced"}, test_accuracy=0.6, accuracy=0.9, test_balanced_accuracy=0.8,
                   balanced_accuracy=0.5),
            "",
        ),
    ],
)  # fmt: skip
def test_a_model_no_better_than_its_baseline_is_said_to_be_so(found, words):
    assert verdict(found) == words


def test_a_model_that_only_ranks_is_told_how_to_go_on():
    line = verdict(result(test_accuracy=0.97, accuracy=0.97, test_roc_auc=0.83))
    assert line.endswith("better than chance (ROC AUC 0.83): try --threshold best or --class-weight balanced")
