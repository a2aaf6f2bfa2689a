"""The curves of a classifier, and what each threshold predicts."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, confusion_matrix, roc_auc_score

from gpunn.report.ranking import CURVES, POINTS, Ranking, rank

NAMES = list("abcdef")


def example(n, m=3000):
    rng = np.random.default_rng(n)
    y = rng.integers(0, n, m)
    p = rng.random((n, m)) + 0.7 * np.eye(n)[y].T
    return y, (p / p.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("threshold", [0, 0.1, 0.5, 0.9, 1])
def test_counts_are_those_of_the_confusion_matrix(threshold):
    y, p = example(2)
    p[:, :5] = 0.5  # on the threshold, which predicts the first class
    found = rank(y, p, NAMES)
    k = round(threshold * (len(found.hits) - 1))
    expected = confusion_matrix(y, p[1] > threshold)
    assert [found.alarms[k], found.hits[k]] == expected[:, 1].tolist()


def test_two_classes_have_the_curve_of_the_second():
    y, p = example(2)
    (curve,) = rank(y, p, NAMES).curves
    assert curve.name == "b" and curve.share == y.mean()
    assert curve.roc_auc == pytest.approx(roc_auc_score(y, p[1]))
    assert curve.average_precision == pytest.approx(average_precision_score(y, p[1]))
    assert curve.roc[0] == (0, 0) and curve.roc[-1] == (1, 1) and len(curve.roc) <= POINTS
    assert curve.recall[-1] == (1, pytest.approx(y.mean())) and len(curve.recall) <= POINTS
    area = auc(*zip(*curve.roc, strict=True))
    assert area == pytest.approx(curve.roc_auc, abs=1e-3)


def test_of_many_classes_the_hardest_are_drawn():
    y, p = example(6)
    found = rank(y, p, NAMES)
    areas = [curve.roc_auc for curve in found.curves]
    assert areas == sorted(areas) and len(areas) == CURVES and not found.of_two
    assert areas[0] == min(roc_auc_score(y == k, p[k]) for k in range(6))


def test_a_test_of_one_class_has_no_curves():
    y, p = example(2)
    assert rank(np.zeros_like(y), p, NAMES) is None and Ranking.from_json(None) is None


def test_json_and_back():
    found = rank(*example(3), NAMES)
    again = Ranking.from_json(json.loads(json.dumps(asdict(found))))
    assert [curve.roc_auc for curve in again.curves] == [curve.roc_auc for curve in found.curves]
