"""Ensembles in Python: `gpunn.tables.train(..., ensemble=n)`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tabular import columns_of_fruits, quantities, write

import gpunn
from gpunn import Dense, Ensemble, Network
from gpunn.sweeps import averaging, sweep
from gpunn.training.fit_options import FitOptions
from gpunn.training.history import History, Record

FRUITS = columns_of_fruits(120)
OPTIONS = {"epochs": 4, "hidden": 8, "device": "cpu"}


@pytest.fixture(scope="module")
def model() -> gpunn.tables.TableModel:
    return gpunn.tables.train(FRUITS, "kind", ensemble=3, seed=2, **OPTIONS)


def test_it_predicts_as_the_mean_of_its_networks(model: gpunn.tables.TableModel) -> None:
    assert isinstance(model.network, Ensemble)
    assert repr(model).startswith("TableModel(3 × ")
    single = [gpunn.tables.TableModel.of("one", net) for net in model.network.networks]
    mean = np.mean([each.predict_proba(FRUITS) for each in single], 0)
    np.testing.assert_allclose(model.predict_proba(FRUITS), mean, rtol=1e-5)
    assert model.settings.ensemble == 3


def test_it_is_saved_and_loaded(model: gpunn.tables.TableModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = gpunn.tables.load_model(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(FRUITS), model.predict_proba(FRUITS))
    assert isinstance(loaded.network, Ensemble)
    assert [net.meta["seed"] for net in loaded.network.networks] == [2, 3, 4]
    loaded.network.networks[1].save(tmp_path / "one")
    gpunn.tables.load_model(tmp_path / "one").predict(FRUITS)


def test_it_is_exported(model: gpunn.tables.TableModel, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from gpunn.export import to_onnx

    to_onnx(model.network, tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    columns = {
        "weight": np.array(FRUITS["weight"], np.float32)[:, None],
        "length": np.array(FRUITS["length"], np.float32)[:, None],
        "colour": np.array([each or "" for each in FRUITS["colour"]])[:, None],
    }
    outputs = session.run(None, columns)
    np.testing.assert_allclose(outputs[0], model.predict_proba(FRUITS), atol=1e-5)


def test_numbers_are_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "prices.csv", quantities())
    model = gpunn.tables.train(path, "price", ensemble=2, cv=2, **OPTIONS)
    single = [gpunn.tables.TableModel.of("one", net) for net in model.network.networks]
    np.testing.assert_allclose(model.predict(path), np.mean([s.predict(path) for s in single], 0), rtol=1e-6)
    assert model.cv
    assert len(model.cv["folds"]) == 2


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"--ensemble must be at least 1, not {n}"):
        gpunn.tables.train(FRUITS, "kind", ensemble=n)


def test_a_network_that_diverges_is_left_out() -> None:
    X, y = np.ones((1, 20)), np.full((1, 20), 1.0)
    net = Network(1, [Dense(1, "identity", "normal")], seed=0)
    options = FitOptions(epochs=2, device="cpu", optimizer=gpunn.SGD(0.1))

    def validation(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return X, y

    original = sweep.train

    def train(prepared: object, *arguments: object, **keywords: object) -> object:
        result = original(prepared, *arguments, **keywords)  # type: ignore[arg-type]
        outcome = result._outcomes[1]
        result._outcomes[1] = type(outcome)("diverged", message="too far")  # type: ignore[index]
        return result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweep, "train", train)
        trained = averaging.train(net, 3, X, y, options, validation)
    assert trained.failed == {1: "too far"}
    assert isinstance(trained.predictor, Ensemble)
    assert [each.meta["seed"] for each in trained.predictor.networks] == [0, 2]


def record(epoch: int, loss: float, seconds: float = 1.0) -> Record:
    return Record(epoch, loss, None, 2 * loss, None, seconds, 100.0)


def test_a_network_that_has_stopped_counts_with_the_epoch_that_it_kept() -> None:
    losses = [1.0, 0.5, 0.25], [4.0, 2.0]
    long, short = (History("cpu", [record(k, loss) for k, loss in enumerate(each, 1)]) for each in losses)
    short.stopped = "early"
    mean = averaging.mean_history([long, short], gpunn.EarlyStopping("validation_loss", 1), 2.5)
    assert [(r.epoch, r.loss, r.validation_loss, r.accuracy) for r in mean] == [
        (1, 2.5, 5.0, None),
        (2, 1.25, 2.5, None),
        (3, 1.125, 2.25, None),
    ]
    assert mean.seconds == pytest.approx(2.5)
    assert [r.examples_per_second for r in mean] == pytest.approx([200.0] * 3)
    assert mean.stopped == "early"
