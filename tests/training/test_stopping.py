"""Holding out a share of the examples, and stopping early."""

from __future__ import annotations

import itertools
import json
import signal

import numpy as np
import pytest
from helpers import MakeBackend

import gpunn
from gpunn import Dense, EarlyStopping, Network, Record
from gpunn.backends import Host
from gpunn.datasets import Dataset
from gpunn.training.splitting import stratified_split
from gpunn.training.stopping import StoppingState


def small(digits: Dataset, m: int = 200) -> tuple[Network, np.ndarray, np.ndarray]:
    net = Network(64, [Dense(12, "tanh"), Dense(10, "softmax")], seed=1)
    return net, digits.train.X[:, :m], digits.train.y[:m]


def flat(net: Network) -> np.ndarray:
    return net._theta.flat.copy()


class TestHoldingOut:
    def test_the_split_is_stratified_and_complete(self) -> None:
        labels = np.repeat(np.arange(4), (100, 60, 30, 10))
        kept, held = stratified_split(0.2, labels, 200, np.random.default_rng(0))
        assert sorted([*kept, *held]) == list(range(200))
        assert np.bincount(labels[held]).tolist() == [20, 12, 6, 2]
        assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()

    def test_the_generator_decides_the_split(self) -> None:
        def draw(seed: int) -> list[int]:
            return list(stratified_split(0.5, None, 50, np.random.default_rng(seed))[1])

        assert draw(1) == draw(1) != draw(2)

    @pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, float("nan")])
    def test_shares_that_are_refused(self, share: float) -> None:
        with pytest.raises(ValueError, match="the share for validation must be between 0 and 1"):
            stratified_split(share, None, 10, np.random.default_rng(0))

    def test_too_few_examples_of_a_class_are_a_one_line_error(self) -> None:
        with pytest.raises(ValueError, match=r"cannot hold out 0.1 of 5 examples, class by class: .*"):
            stratified_split(0.1, np.array([0, 0, 0, 0, 1]), 5, np.random.default_rng(0))

    def test_fit_holds_out_the_share(self, backend: MakeBackend, digits: Dataset) -> None:
        """Training with a share held out equals training on copies of the two parts."""
        net, X, y = small(digits)
        history = net.fit(X, y, epochs=2, batch_size=16, validation=0.25)
        twin, rng = small(digits)[0], np.random.default_rng(0)
        rng.bit_generator.state = twin.rng.bit_generator.state
        kept, held = stratified_split(0.25, y, 200, rng)
        twin.rng.bit_generator.state = rng.bit_generator.state
        parts = X[:, kept], y[kept]
        expected = twin.fit(*parts, epochs=2, batch_size=16, validation=(X[:, held], y[held]))
        assert np.array_equal(flat(net), flat(twin))
        for mine, theirs in zip(history, expected, strict=True):
            assert mine.loss == theirs.loss and mine.accuracy == theirs.accuracy
            assert mine.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-6)
            assert mine.validation_accuracy == theirs.validation_accuracy

    def test_real_targets(self) -> None:
        rng = np.random.default_rng(0)
        net = Network(3, [Dense(2, "identity")], "quadratic", seed=0)
        X, Y = rng.standard_normal((3, 40)), rng.standard_normal((2, 40))
        history = net.fit(X, Y, epochs=1, validation=0.5, device="cpu")
        assert history[0].validation_loss is not None and history[0].validation_accuracy is None


class TestEarlyStopping:
    def test_the_best_weights_are_restored(self, backend: MakeBackend, digits: Dataset) -> None:
        net, X, y = small(digits)
        after: list[float] = []
        history = net.fit(
            X, y, epochs=60, batch_size=8, optimizer=gpunn.SGD(1.0), validation=0.3,
            stop=EarlyStopping(patience=3), on_epoch_end=lambda r: after.append(r.validation_loss or 0),
        )  # fmt: skip
        assert history.stopped == "early" and not history.interrupted
        best = int(np.argmin(after))
        assert len(history) == best + 1 + 3 < 60
        twin = small(digits)[0]
        twin.fit(X, y, epochs=best + 1, batch_size=8, optimizer=gpunn.SGD(1.0), validation=0.3)
        assert np.array_equal(flat(net), flat(twin))

    def test_the_last_weights_without_restore_best(self, digits: Dataset) -> None:
        net, X, y = small(digits)
        stop = EarlyStopping("accuracy", patience=1, min_delta=1, restore_best=False)
        assert len(net.fit(X, y, epochs=9, stop=stop, device="cpu")) == 2
        twin = small(digits)[0]
        twin.fit(X, y, epochs=2, device="cpu")
        assert np.array_equal(flat(net), flat(twin))

    def test_the_best_weights_when_the_epochs_end_first(self, digits: Dataset) -> None:
        net, X, y = small(digits)
        stop = EarlyStopping(min_delta=100.0)  # only the first epoch can be the best
        history = net.fit(X, y, epochs=3, stop=stop, validation=0.5, device="cpu")
        assert history.stopped == "" and len(history) == 3
        assert net.evaluate(X, y)[0] > history[-1].loss

    def test_patience_and_min_delta(self) -> None:
        watch = StoppingState(
            EarlyStopping("loss", patience=2, min_delta=0.1), Host(), np.zeros(3, np.float32)
        )
        scores, over = [1.0, 0.95, 0.85, 0.8, float("nan"), 0.5], []
        for epoch, loss in enumerate(scores, start=1):
            watch.observe(Record(epoch, loss, None, None, None, 1.0, 1.0))
            over.append(watch.over)
        assert over == [False, False, False, False, True, False]
        assert (watch.best.epoch, watch.best.score) == (6, 0.5)

    @pytest.mark.parametrize("settings", [{"metric": "los"}, {"patience": 0}, {"min_delta": -1.0}])
    def test_settings_that_are_refused(self, settings: dict[str, object]) -> None:
        with pytest.raises(ValueError):
            EarlyStopping(**settings)  # type: ignore[arg-type]

    def test_a_metric_that_is_not_measured_is_refused_before_training(self, digits: Dataset) -> None:
        net, X, y = small(digits)
        with pytest.raises(ValueError, match="validation_loss is not measured: pass validation to fit"):
            net.fit(X, y, stop=EarlyStopping(), device="cpu")
        regression = Network(64, [Dense(10, "identity")], "quadratic", seed=0)
        with pytest.raises(ValueError, match="accuracy needs class labels, and y is targets"):
            regression.fit(X, np.ones((10, 200)), stop=EarlyStopping("accuracy"), device="cpu")


def test_ctrl_c_restores_the_best_weights() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    calls = itertools.count(1)

    def interrupt(record: Record) -> None:
        if next(calls) == 4:
            signal.raise_signal(signal.SIGINT)

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5, 60)), rng.integers(0, 3, 60)
    net, twin = (Network(5, [Dense(3, "softmax")], seed=0) for _ in range(2))
    stop = EarlyStopping("loss", min_delta=100.0)
    history = net.fit(X, y, epochs=9, stop=stop, on_epoch_end=interrupt, device="cpu")
    assert history.stopped == "interrupted" and history.interrupted
    assert {"stopped": "interrupted", "interrupted": True}.items() <= json.loads(history.to_json()).items()
    twin.fit(X, y, epochs=1, device="cpu")
    assert np.array_equal(flat(net), flat(twin))
