"""Check that the quick claims hold, and that a wrong implementation makes each of them fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarking import random_mnist

import gpunn
from benchmarks.reproductions import (
    bias_trick,
    by_hand,
    capacity,
    dropout,
    gradient_check,
    initialisation,
    matrix_form,
    nielsen,
    preprocessing,
    rows,
    single_neuron,
    wheat_seeds,
)
from benchmarks.reproductions.catalogue import REPRODUCTIONS
from benchmarks.reproductions.common import (
    in_training,
    no_progress,
)

QUICK = [
    "single-neuron",
    "two-layer-by-hand",
    "gradient-check",
    "bias-trick",
    "rows",
    "initialisation",
    "initialisation-batch-norm",
]
SEEDS = "15.26,14.84,0.871,5.763,3.312,2.221,5.22,{}\n"


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Set what the gradient check measures as the seconds of a forward pass and of back-propagation."""

    def set_seconds(forward: float, backward: float) -> None:
        seconds = iter((forward, backward))

        def fastest(work: Callable[[], object]) -> float:
            work()
            return next(seconds)

        monkeypatch.setattr(gradient_check, "fastest", fastest)

    return set_seconds


@pytest.mark.parametrize("name", QUICK)
def test_quick_claims_hold(name: str, timed: Callable[[float, float], None]) -> None:
    timed(1.0, 2.0)
    found = REPRODUCTIONS[name].measure(None)
    assert found.passed, found.measured
    assert not found.figures


def test_slow_back_propagation_fails_the_gradient_check(timed: Callable[[float, float], None]) -> None:
    timed(1.0, 20.0)
    assert not gradient_check.REPRODUCTION.measure(None).passed


def test_the_matrix_form_learns_the_same_as_the_loop() -> None:
    """The data are noise in MNIST's shape. The speed decides nothing here."""
    rng = np.random.default_rng(0)
    X, labels = rng.random((784, 205)), rng.integers(0, 10, 205)
    apart, loop, matrices = matrix_form.epoch(X, labels, seed=0)
    assert apart < 1e-10 and loop > 0 and matrices > 0


def halved(gradients: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: [(dw / 2, db) for dw, db in gradients(*args, **options)]


@pytest.mark.parametrize("module", [gradient_check, by_hand, bias_trick])
def test_a_wrong_gradient_is_noticed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunn.Network, "gradients", halved(gpunn.Network.gradients))
    assert not module.measure(None).passed


@pytest.mark.parametrize("module", [by_hand, rows, bias_trick])
def test_a_wrong_learning_rate_is_noticed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunn, "SGD", lambda eta: gpunn.optimizers.SGD(1.01 * eta))
    assert not module.measure(None).passed


def test_weights_that_break_the_symmetry_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpunn.INITIALIZERS, "zeros", gpunn.INITIALIZERS["normal"])
    assert not single_neuron.measure(None).passed


def test_a_neuron_that_learns_too_little_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunn, "SGD", lambda eta: gpunn.optimizers.SGD(1e-6))
    assert not single_neuron.measure(None).passed


def test_a_wrong_scale_of_the_weights_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialisation, "WIDTH", 100)
    monkeypatch.setitem(initialisation.SCHEMES, "He", lambda rng, n: rng.standard_normal((n, n)) / n**0.5)
    assert not initialisation.measure(None).passed


def test_layers_that_are_not_normalised_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialisation, "WIDTH", 100)
    plain = initialisation.deviations
    monkeypatch.setattr(initialisation, "deviations", lambda f, draw, batch_norm: plain(f, draw, False))
    assert not initialisation.measure_normalised(None).passed


def test_dropout_that_is_not_inverted_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim fails if kept activations are not scaled, or if some are dropped at test time."""
    monkeypatch.setattr(dropout, "MASKS", 50)
    assert dropout.measure(None).passed
    with monkeypatch.context() as patch:
        patch.setattr(dropout, "in_training", lambda net, X, key: 0.5 * in_training(net, X, key))
        assert not dropout.measure(None).passed
    monkeypatch.setattr(gpunn.Network, "forward", lambda net, X: in_training(net, X))
    assert not dropout.measure(None).passed


def test_a_feedforward_of_training_drops_and_normalises() -> None:
    X = np.random.default_rng(0).standard_normal((30, 50))
    shown = in_training(dropout.build(0.5), X, key=1)
    assert (shown == 0).mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(shown[shown != 0], 2 * dropout.build(0.0).forward(X)[shown != 0], rtol=1e-12)
    a = initialisation.layer(X, "identity", np.random.default_rng(1).standard_normal((30, 30)), True)
    np.testing.assert_allclose([a.mean(1), a.std(1)], [np.zeros(30), np.ones(30)], atol=1e-3)


def test_preprocessing_that_does_not_help_is_noticed() -> None:
    order = {"raw": 9.0, "centred": 9.0, "normalised": 5.0, "whitened": 2.0}
    assert preprocessing.in_order(order)
    assert not preprocessing.in_order(order | {"whitened": 5.0})
    assert not preprocessing.in_order(order | {"centred": 4.0})


def test_best_of_three_counts_all_triples() -> None:
    assert nielsen.best_of_three(0, 12) == 0 and nielsen.best_of_three(10, 12) == 1
    assert nielsen.best_of_three(1, 3) == 1
    assert nielsen.best_of_three(3, 12) == pytest.approx(1 - 84 / 220)


@pytest.mark.parametrize(
    ("peaks", "passed"), [([97.0] * 3 + [90.0] * 9, True), ([97.0] + [90.0] * 11, False)]
)
def test_nielsens_claim_holds_by_its_rule(
    peaks: list[float], passed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = np.array([[0.5, peak / 100, 0.6] for peak in peaks])
    monkeypatch.setattr(nielsen, "accuracies", lambda hidden, seeds, progress: runs)
    found = nielsen.measure(30, 95.0, len(peaks), tmp_path)
    assert found.figures == (tmp_path / "nielsen-30.png",)
    assert found.figures[0].exists()
    assert found.passed == passed
    assert (
        found.runs["best epochs in percent"] == peaks and found.runs["last epochs in percent"] == [60.0] * 12
    )


def test_more_units_or_decay_must_have_an_effect() -> None:
    fit = [capacity.Fit(cost, 1.0, length, np.zeros((2, 2))) for cost, length in [(3, 1), (2, 3), (1, 2)]]
    fits = {"3 units": [fit[0]], "6 units": [fit[1]], "20 units": [fit[2]]}
    fits |= {"20 units, L2 0.001": [fit[1]], "20 units, L2 0.01": [fit[2]], "20 units, L2 0.1": [fit[0]]}
    assert capacity.costs(fits) == [3, 2, 1] and capacity.lengths(fits) == [3, 2, 1]
    assert capacity.falling([3, 2, 1]) and not capacity.falling([3, 3, 1]) and not capacity.falling([2, 3, 1])


def test_a_wrong_or_slow_matrix_form_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_form, "epoch", lambda X, labels, seed: (1e-3, 1.0, 0.1))
    monkeypatch.setattr(matrix_form, "mnist", random_mnist)
    assert not matrix_form.measure(None).passed
    monkeypatch.setattr(matrix_form, "epoch", lambda X, labels, seed: (0.0, 1.0, 0.9))
    assert not matrix_form.measure(None).passed


def test_contours_and_covariance_are_measured() -> None:
    """A slope from 0 to 1 across the square has contours as long as its side at every level."""
    slope = np.tile(np.linspace(0, 1, capacity.CELLS), (capacity.CELLS, 1))
    assert capacity.variation(slope) == pytest.approx(1)
    data = np.random.default_rng(0).standard_normal((50, 3))
    assert preprocessing.from_identity(data) > 0.05
    whitened = preprocessing.pipelines()["whitened"].fit_transform(
        data @ np.array([[1, 5, 0], [0, 1, 9], [0, 0, 1]])
    )
    assert preprocessing.from_identity(whitened) < 1e-9


def test_repeated_separators_count_once(tmp_path: Path) -> None:
    file = tmp_path / "wheat-seeds.csv"
    file.write_text(
        SEEDS.format(1) + "\n" + SEEDS.format(2).replace(",5", ",,5") + SEEDS.format(3).replace(",", "\t\t")
    )
    X, labels = wheat_seeds.read(file)
    assert X.shape == (3, 7) and (X[0] == X).all() and labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "1,2,3\n", SEEDS.format(4), SEEDS.format(1) + "15.26,14.84\n"])
def test_damaged_tables_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "wheat-seeds.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match="wheat-seeds"):
        wheat_seeds.read(file)


def test_cross_validation_scores_five_folds_by_both_rules() -> None:
    """The first column determines the class; the zero rule reaches at most a third."""
    labels = np.arange(60) % 3
    X = np.column_stack([labels, np.random.default_rng(0).random((60, 6))])
    scores = np.array(wheat_seeds.cross_validate(X, labels, 0, no_progress, epochs=60))
    assert scores.shape == (5, 2)
    ours, zero = scores.mean(axis=0)
    assert ours > 0.9 and zero <= 1 / 3


def test_untrained_seeds_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single class there is nothing to learn, and the zero rule is always right."""
    (tmp_path / "wheat-seeds.csv").write_text(SEEDS.format(2) * 10)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    monkeypatch.setattr(wheat_seeds, "EPOCHS", 1)
    found = wheat_seeds.measure(None)
    assert not found.passed and "zero rule 100.0 %" in found.measured
