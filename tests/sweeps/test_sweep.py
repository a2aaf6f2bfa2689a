"""`gpunn.sweep`: its networks, its table and its best settings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sweeping import LAYERS, X, Y, alone, equal, sweep

import gpunn
from gpunn import Dense
from gpunn.sweeps.data import divide


def test_a_row_for_each_combination_fold_and_seed() -> None:
    result = sweep(grid={"learning_rate": [0.1, 0.5], "l2": [0, 1e-3]}, seeds=[3, 7], folds=2)
    rows = [(row["learning_rate"], row["l2"], row["fold"], row["seed"]) for row in result.table]
    assert len(rows) == len(set(rows)) == len(result) == 16
    assert rows[:4] == [(0.1, 0, 0, 3), (0.1, 0, 0, 7), (0.1, 0, 1, 3), (0.1, 0, 1, 7)]
    assert [row["network"] for row in result.table] == list(range(16))
    assert {row["status"] for row in result.table} == {"done"}


def test_a_network_equals_the_one_trained_alone() -> None:
    result = sweep(seeds=2, validation=0.2, schedule="cosine")
    for i, (rate, seed) in enumerate([(0.1, 0), (0.1, 1), (0.5, 0), (0.5, 1)]):
        net = alone(seed=seed, optimizer=gpunn.SGD(rate), validation=0.2, schedule="cosine")
        assert equal(result.network(i), net)
        assert np.array_equal(result.network(i).predict(X), net.predict(X))


def test_a_fold_is_trained_on_its_examples_alone() -> None:
    kept, held = np.arange(10, 60), np.arange(10)
    result = sweep(folds=[(kept, held)], sample_weight=np.arange(60.0))
    net = gpunn.Network(5, LAYERS, seed=0)
    history = net.fit(
        X[:, kept],
        Y[kept],
        epochs=2,
        optimizer=gpunn.SGD(0.1),
        sample_weight=kept,
        validation=(X[:, held], Y[held]),
    )
    assert equal(result.network(0), net)
    assert result.history(0)[-1].validation_loss == history[-1].validation_loss


def test_folds_are_stratified_and_cover_the_examples() -> None:
    result = sweep(folds=3)
    held = [part for _, part in divide(3, Y, 60, 0)]
    assert sorted(np.concatenate(held)) == list(range(60))
    assert all(np.ptp([np.sum(Y[part] == k) for part in held]) <= 1 for k in range(3))
    assert result.best.metric == "validation_accuracy"


def test_settings_of_the_network_vary() -> None:
    grid = {"hidden": [(6,), (5, 4), ()], "activation": ["relu"], "init": ["he"], "dropout": [0.2]}
    result = sweep(grid=grid, input_dropout=0.1)
    layers = result.network(1).layers
    assert [layer.n for layer in layers] == [5, 4, 3]
    assert [layer.f.name for layer in layers] == ["relu", "relu", "softmax"]
    assert [layer.initializer for layer in layers] == ["he"] * 3
    assert result.network(1).dropout == (0.1, 0.2, 0.2)
    assert result.table.column("hidden") == ["6", "5-4", "0"]


def test_the_optimizer_and_its_constants_vary() -> None:
    grid = [{"optimizer": ["adam"], "beta1": [0.8]}, {"optimizer": ["momentum"], "momentum": [0.5, 0.7]}]
    result = sweep(grid=grid)
    assert equal(result.network(0), alone(optimizer=gpunn.Adam(beta1=0.8)))
    assert equal(result.network(2), alone(optimizer=gpunn.Momentum(momentum=0.7)))
    assert result.table.column("momentum") == [None, 0.5, 0.7]


def test_a_random_search_draws_from_distributions() -> None:
    grid = {"learning_rate": stats.loguniform(1e-3, 1), "l2": [0, 1e-4]}
    result = sweep(grid=grid, n=5, random_state=1)
    rates = result.table.column("learning_rate")
    assert len(set(rates)) == 5 and all(1e-3 <= rate <= 1 and type(rate) is float for rate in rates)
    assert sweep(grid=grid, n=5, random_state=1).table.column("learning_rate") == rates


def test_a_search_among_few_combinations_draws_each_once() -> None:
    assert sorted(sweep(n=10).table.column("learning_rate")) == [0.1, 0.5]


def test_without_a_grid_there_are_seeds_only() -> None:
    result = sweep(grid=None, seeds=3)
    assert len(result) == 3 and result.best.settings == {}


def test_a_schedule_that_follows_records_belongs_to_one_network() -> None:
    schedule = gpunn.ReduceOnPlateau(0.1, 1, "loss")
    result = sweep(schedule=schedule, grid={"learning_rate": [3.0, 5.0]}, epochs=6)
    net = alone(optimizer=gpunn.SGD(5.0), schedule=gpunn.ReduceOnPlateau(0.1, 1, "loss"), epochs=6)
    assert equal(result.network(1), net)
    assert schedule.current == 1


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_a_network_that_diverges_is_a_row() -> None:
    layers = [Dense(4, "relu"), Dense(1, "identity")]
    result = sweep(layers=layers, y=X[0] * 3, grid={"learning_rate": [1e30, 0.01]}, epochs=5, seeds=2)
    assert [row["status"] for row in result.table] == ["diverged", "diverged", "done", "done"]
    assert "the cost became" in result.table[0]["message"]
    assert result.best.settings == {"learning_rate": 0.01}
    assert sorted(result.ranked()) == [2, 3]
    with pytest.raises(ValueError, match="network 0 was not trained: the cost became"):
        result.network(0)


def test_the_best_is_the_mean_over_seeds_and_folds() -> None:
    result = sweep(seeds=2, folds=2, grid={"learning_rate": [1e-3, 1.0]}, epochs=10)
    own = [row["validation_accuracy"] for row in result.table if row["learning_rate"] == 1.0]
    assert result.best.settings == {"learning_rate": 1.0}
    assert result.best.score == pytest.approx(np.mean(own))
    assert result.table[result.best.network]["validation_accuracy"] == max(own)
    assert str(result.best).startswith("learning_rate 1: validation accuracy 0.")


def test_values_are_of_the_epoch_whose_weights_are_kept() -> None:
    stop = gpunn.EarlyStopping("validation_loss", patience=2)
    result = sweep(
        validation=0.3, grid={"learning_rate": [20.0]}, stop=stop, epochs=50, metric="validation_loss"
    )
    (row,), history = result.table, result.history(0)
    assert row["status"] == history.stopped == "early"
    assert row["validation_loss"] == row["best_validation_loss"] == min(r.validation_loss for r in history)
    assert row["epochs_trained"] == len(history)
    assert result.best.score == row["validation_loss"]


def test_a_score_of_your_own_is_the_metric() -> None:
    result = sweep(validation=(X, Y), score=lambda outputs: float(-outputs[0].mean()))
    assert result.best.metric == "validation_score"
    assert result.best.score == max(result.table.column("validation_score"))


def test_numbers_are_learnt() -> None:
    result = sweep(layers=[Dense(4, "tanh"), Dense(2, "identity")], y=X[:2], folds=3)
    assert result.best.metric == "validation_loss"
    assert "accuracy" not in result.table.columns


def test_every_finished_network_is_reported() -> None:
    ends: list[gpunn.NetworkEnd] = []
    sweep(seeds=2, on_network_end=ends.append)
    assert [(end.member.index, end.done, end.total, end.examples) for end in ends] == [
        (i, i + 1, 4, 120) for i in range(4)
    ]


def test_a_report_that_returns_true_ends_the_sweep() -> None:
    result = sweep(seeds=3, on_network_end=lambda end: end.done == 2)
    assert result.interrupted
    assert result.table.column("status") == ["done"] * 2 + ["interrupted"] * 4
    assert result.best.network in (0, 1)


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    sweep(verbose=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("2/2 networks, ")
    assert "best network: loss" in last and "(learning_rate " in last
