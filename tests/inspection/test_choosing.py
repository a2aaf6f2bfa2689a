"""The measures by which `--metric` chooses, and scores that compare outputs with y."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score, root_mean_squared_error

import gpunn
from gpunn import Dense, EarlyStopping, Network
from gpunn.inspection.choosing import choices, choose, score_classes, score_numbers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 120))
Y = (X[0] + RNG.normal(size=120) > 0).astype(int)
OPTIONS = {"epochs": 12, "device": "cpu", "optimizer": gpunn.SGD(2.0)}


def network():
    return Network(4, [Dense(8, "relu"), Dense(2, "softmax")], seed=3)


def test_measures_of_every_epoch_need_no_score():
    assert choose(None, "validation_loss", classes=True) == ("validation_loss", None)
    assert choose("accuracy", "validation_loss", classes=True) == ("validation_accuracy", None)
    assert choose("validation_loss", "", classes=False) == ("validation_loss", None)


def test_higher_is_better_for_every_score():
    p = np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.6]])
    y = np.array([0, 1, 0])
    assert score_classes("roc_auc", p, y) == score_classes("roc_auc", p[1:], y) == roc_auc_score(y, p[1])
    assert score_classes("brier", p, y) == pytest.approx(-brier_score_loss(y, p[1]))
    assert score_numbers("rmse", p[:1], y[None]) == pytest.approx(-root_mean_squared_error(y, p[0]))
    assert score_numbers("r2", p[:1], y) == pytest.approx(r2_score(y, p[0]))


@pytest.mark.parametrize("name", choices(classes=True)[2:])
@pytest.mark.parametrize("validation", ["indices", "share", "pair"])
def test_the_epoch_with_the_best_score_is_kept(name, validation):
    held = np.arange(0, 120, 3)
    given = {"indices": held, "share": 0.3, "pair": (X[:, held], Y[held])}[validation]
    field, score = choose(name, "validation_loss", classes=True)
    net = network()
    history = net.fit(X, Y, validation=given, score=score, stop=EarlyStopping(field, 12), **OPTIONS)
    best = max(record.validation_score for record in history)
    if validation != "share":
        assert score.compare(net.forward(X[:, held]), Y[held]) == pytest.approx(best, abs=1e-6)
        assert len({record.validation_score for record in history}) > 2


def test_a_sweep_scores_every_fold_by_its_own_rows():
    _, score = choose("roc_auc", "validation_loss", classes=True)
    layers = [Dense(8, "relu"), Dense(2, "softmax")]
    splits = [(np.flatnonzero(np.arange(120) % 3 != k), np.arange(k, 120, 3)) for k in range(3)]
    result = gpunn.sweep(X, Y, layers, folds=splits, score=score, seeds=[3], **OPTIONS)
    for row, (_, held) in zip(result.table, splits, strict=True):
        outputs = result.network(row["network"]).forward(X[:, held])
        assert row["validation_score"] == pytest.approx(roc_auc_score(Y[held], outputs[1]))


def test_unknown_measures_and_rows_of_one_class_are_refused():
    with pytest.raises(ValueError, match="unknown metric 'auc'"):
        choose("auc", "validation_loss", classes=True)
    with pytest.raises(ValueError, match="choose from loss, rmse, mae, r2"):
        choose("accuracy", "validation_loss", classes=False)
    with pytest.raises(ValueError, match="needs held-out rows of two classes"):
        score_classes("roc_auc", np.full((2, 5), 0.5), np.zeros(5, int))
