"""Training by `Network.fit`: what is learnt and recorded, and which data it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend, one_hot
from small_network import X, Y, small

import gpunn
from gpunn import Dense, Network
from gpunn.backends import Host
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.inputs import check_X


def test_it_learns_and_records_every_epoch(backend: MakeBackend) -> None:
    net, seen = small(), []
    history = net.fit(
        X,
        Y,
        epochs=100,
        batch_size=8,
        optimizer=gpunn.Adam(0.05),
        validation=(X, Y),
        on_epoch_end=seen.append,
    )
    assert [record.epoch for record in history] == list(range(1, 101)) == [record.epoch for record in seen]
    assert history[-1].loss < history[0].loss / 4
    assert history[-1].validation_accuracy == np.mean(net.predict(X) == Y) > 0.9
    assert history[-1].validation_loss == pytest.approx(net.evaluate(X, Y)[0], rel=1e-6)
    kept = json.loads(history.to_json())
    assert kept["records"][0].keys() == {
        "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "seconds",
        "examples_per_second", "validation_score", "threads",
    }  # fmt: skip


def test_same_seed_same_weights(backend: MakeBackend) -> None:
    nets = [small(7), small(7)]
    for net in nets:
        net.fit(X, Y, epochs=2, batch_size=16)
    assert np.array_equal(nets[0].weights[0], nets[1].weights[0])


def test_labels_and_one_hot_targets_are_equivalent(backend: MakeBackend) -> None:
    nets = [small(), small()]
    for net, y in zip(nets, (Y, one_hot(Y, 3)), strict=True):
        net.fit(X, y, epochs=1)
    assert np.array_equal(nets[0].weights[1], nets[1].weights[1])


def test_regression_has_no_accuracy(backend: MakeBackend) -> None:
    net = Network(5, [Dense(8, "tanh"), Dense(2, "identity")], seed=0)
    targets = np.stack([X[0] * X[1], np.sin(X[2])])
    history = net.fit(X, targets, epochs=100, batch_size=8, optimizer="adam")
    assert history[-1].accuracy is None
    assert history[-1].loss < history[0].loss / 2


def test_a_single_output_classifies_at_one_half(backend: MakeBackend) -> None:
    net = Network(5, [Dense(1, "sigmoid", init="zeros")], seed=0)
    history = net.fit(X, X[0] > 0, epochs=50, optimizer=gpunn.SGD(1.0))
    assert history[-1].accuracy > 0.95
    assert set(net.predict(X)) == {0, 1}


def test_bytes_are_pixels(backend: MakeBackend) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 40), dtype=np.uint8)
    nets = [small(), small()]
    nets[0].fit(pixels, Y, epochs=1)
    nets[1].fit(pixels / 255, Y, epochs=1)
    np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], atol=1e-13)
    np.testing.assert_allclose(nets[0].forward(pixels), nets[0].forward(pixels / 255), atol=1e-13)


@pytest.mark.parametrize("kind", ["C", "int64", "float64", "bool"])
def test_any_memory_layout_and_dtype(backend: MakeBackend, kind: str) -> None:
    whole = np.round(3 * X)
    other = (
        np.ascontiguousarray(whole) if kind == "C" else (whole > 0 if kind == "bool" else whole.astype(kind))
    )
    nets = [small(dtype="float32"), small(dtype="float32")]
    nets[0].fit(np.asfortranarray(other, "float32"), Y, epochs=1)
    nets[1].fit(other, Y, epochs=1)
    assert np.array_equal(nets[0].weights[0], nets[1].weights[0])


def test_a_memory_map_is_used_in_place(tmp_path: Path) -> None:
    rows = np.asfortranarray(X.T)
    np.save(tmp_path / "rows.npy", np.ascontiguousarray(X.T))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r").T  # examples as columns, each contiguous
    assert np.shares_memory(Host("float64").data.examples(check_X(mapped, 5), None, None).X, mapped)
    nets = [small(), small()]
    nets[0].fit(mapped, Y, epochs=2, batch_size=8)
    nets[1].fit(rows.T, Y, epochs=2, batch_size=8)
    assert np.array_equal(nets[0].weights[0], nets[1].weights[0])


def test_the_short_last_mini_batch_is_trained_on(backend: MakeBackend) -> None:
    nets = [small(), small()]
    nets[0].fit(X[:, :33], Y[:33], epochs=1, batch_size=32)
    nets[1].fit(X[:, :33], Y[:33], epochs=1, batch_size=33)
    assert nets[0].fit(X[:, :33], Y[:33], epochs=1, batch_size=32)[0].examples_per_second > 0
    assert not np.array_equal(nets[0].weights[0], nets[1].weights[0])


def test_many_chunks_and_a_tail(backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = small(), small()
    whole.fit(X, Y, epochs=2, batch_size=3)
    for kind in (Host, Cuda):
        monkeypatch.setattr(kind, "chunk_bytes", 300)
    parts.fit(X, Y, epochs=2, batch_size=3)
    assert np.array_equal(whole.weights[0], parts.weights[0])


def test_forward_in_parts(backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small()
    whole = net.forward(X)
    monkeypatch.setattr("gpunn.core.plan.FORWARD_BATCH", 7)
    np.testing.assert_allclose(net.forward(X), whole, atol=1e-15)
    assert whole.shape == (3, 40)
    np.testing.assert_allclose(whole.sum(0), 1)


def test_fitting_again_continues() -> None:
    net = small()
    first = net.fit(X, Y, epochs=5, device="cpu")
    assert net.fit(X, Y, epochs=5, device="cpu")[0].loss < first[0].loss


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X[:4], Y, r"X must be \(5, m\), one example a column, not \(4, 40\)"),
        (X.T, Y, r"not \(40, 5\); transpose it, since examples are columns"),
        (X[:, :0], Y[:0], r"X has no examples: its shape is \(5, 0\)"),
        (np.where(X[2, 7] == X, np.nan, X), Y, r"X\[2, 7\] is nan: X must be finite"),
        (np.where(X[2, 7] == X, np.inf, X), Y, r"X\[2, 7\] is inf"),
        (X.astype(str), Y, "X must be numbers, not <U"),
        (X, Y[:9], r"y must be labels \(40,\) or targets \(3, 40\), not \(9,\)"),
        (X, Y + 1, r"labels must be in 0…2, but y\[\d+\] is 3"),
        (X, Y - 1, r"labels must be in 0…2, but y\[\d+\] is -1"),
        (X, Y + 0.5, "y must be whole numbers, since it holds class labels"),
    ],
)
def test_data_that_is_refused(X: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(X, y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small().fit(X, Y, optimizer=gpunn.Adam), "such as gpunn.Adam.0.001., not <class"),
        (lambda: small().fit(X, Y, schedule=0.1), "schedule must be a name or a function .*, not 0.1"),
        (lambda: small().fit(X, Y, epochs=0), "epochs must be a whole number of at least 1, not 0"),
        (lambda: small().fit(X, Y, batch_size=2.5), "batch_size must be a whole number .* not 2.5"),
        (lambda: small().fit(X, Y, optimizer="adm"), "unknown optimizer 'adm': did you mean 'adam'"),
        (lambda: small().fit(X, Y, device="gpu"), "unknown device 'gpu': choose from auto, cpu, cuda"),
        (lambda: small().fit(X, Y, precision="bf16"), "unknown precision 'bf16' for a float64 network"),
    ],
)
def test_options_that_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
