"""Ensembles: averaged outputs, files and ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sweeping import LAYERS, X, Y, alone, sweep

import gpunn
from gpunn import Dense, Ensemble, Network
from gpunn.sweeps.ensemble import load


def regression(seeds: int = 3, n_out: int = 1) -> Ensemble:
    return Ensemble([Network(5, [Dense(4), Dense(n_out, "identity")], seed=seed) for seed in range(seeds)])


def test_the_best_networks_are_averaged() -> None:
    result = sweep(seeds=4, epochs=5, metric="accuracy")
    ensemble = result.ensemble(3)
    best = sorted(range(8), key=lambda i: -result.table[i]["accuracy"])[:3]
    mean = np.mean([result.network(i).forward(X) for i in best], 0)
    np.testing.assert_allclose(ensemble.forward(X), mean, rtol=1e-6)
    assert np.array_equal(ensemble.predict(X), mean.argmax(0))
    assert repr(ensemble) == "Ensemble(3 networks: 5-4-3)"


def test_more_than_were_trained_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are 2 trained networks, not 3"):
        sweep().ensemble(3)


@pytest.mark.parametrize("n_out", [1, 2])
def test_numbers_are_averaged(n_out: int) -> None:
    ensemble = regression(n_out=n_out)
    predicted = ensemble.predict(X)
    assert predicted.shape == ((60,) if n_out == 1 else (2, 60))
    np.testing.assert_allclose(predicted, np.mean([n.predict(X) for n in ensemble.networks], 0), rtol=1e-5)


def test_it_is_evaluated_as_a_network() -> None:
    ensemble = Ensemble([alone(seed=seed) for seed in range(3)])
    loss, accuracy = ensemble.evaluate(X, Y)
    outputs = ensemble.forward(X)
    assert accuracy == np.mean(ensemble.predict(X) == Y)
    assert loss == pytest.approx(-np.mean(np.log(outputs[Y, range(60)])), rel=1e-5)


@pytest.mark.parametrize(
    ("cost", "f", "n_out"),
    [
        ("hinge", "identity", 3),
        ("quadratic", "sigmoid", 3),
        ("binary-cross-entropy", "sigmoid", 3),
        ("binary-cross-entropy", "sigmoid", 1),
        ("cross-entropy", "softmax", 3),
    ],
)
def test_an_ensemble_of_one_is_evaluated_alike(cost: str, f: str, n_out: int) -> None:
    net, y = Network(5, [Dense(n_out, f)], cost, seed=0), Y.clip(0, max(1, n_out - 1))
    assert Ensemble([net]).evaluate(X, y) == pytest.approx(net.evaluate(X, y), rel=1e-5)


@pytest.mark.parametrize(
    "other", [Network(4, LAYERS), Network(5, [Dense(3)]), Network(5, LAYERS, "quadratic", dtype="float64")]
)
@pytest.mark.filterwarnings("ignore")
def test_networks_that_do_not_match_are_refused(other: Network) -> None:
    with pytest.raises(ValueError, match="must have the same inputs, outputs and cost"):
        Ensemble([Network(5, LAYERS), other])


def test_no_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one network"):
        Ensemble([])


def test_a_file_keeps_every_network(tmp_path: Path) -> None:
    hidden = [Dense(6, "relu", batch_norm=True, dropout=0.1), Dense(3, "softmax")]
    ensemble = Ensemble([alone(seed=1), alone(hidden, optimizer="adam")])
    ensemble.save(tmp_path / "e.safetensors")
    loaded = Ensemble.load(tmp_path / "e.safetensors")
    assert np.array_equal(loaded.forward(X), ensemble.forward(X))
    assert np.array_equal(loaded.predict(X), ensemble.predict(X))
    assert [net.name for net in loaded.networks] == ["5-4-3", "5-6-3"]


def test_the_files_of_networks_and_ensembles_are_told_apart(tmp_path: Path) -> None:
    regression().save(tmp_path / "e")
    regression().networks[0].save(tmp_path / "n")
    with pytest.raises(ValueError, match=r"e holds an ensemble: read it with gpunn\.Ensemble\.load"):
        Network.load(tmp_path / "e")
    with pytest.raises(ValueError, match=r"n holds a single network: read it with gpunn\.Network\.load"):
        Ensemble.load(tmp_path / "n")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    regression().save(path := tmp_path / "e")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="e is damaged: its content does not match its digest"):
        Ensemble.load(path)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_onnx_computes_the_same(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from gpunn.export import to_onnx

    deep = [Dense(6, "gelu", batch_norm=True), Dense(3, "softmax")]
    ensemble = Ensemble([alone(seed=1), alone(deep)]) if kind == "classes" else regression(n_out=2)
    to_onnx(ensemble, tmp_path / "e.onnx")
    session = runtime.InferenceSession(tmp_path / "e.onnx", providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"X": X.T.astype(np.float32)})
    np.testing.assert_allclose(outputs[0].T, ensemble.forward(X), atol=1e-6)
    if kind == "classes":
        assert [o.name for o in session.get_outputs()] == ["probabilities", "label"]
        assert np.array_equal(outputs[1], ensemble.predict(X))


def test_it_is_in_the_package() -> None:
    assert gpunn.Ensemble is Ensemble


def test_what_the_networks_have_in_common_is_its_meta(tmp_path: Path) -> None:
    ensemble = regression(2)
    for seed, net in enumerate(ensemble.networks):
        net.meta = {"seed": seed}
    ensemble.meta = {"dataset": "here", "seed": 9}
    assert [net.meta for net in ensemble.networks] == [
        {"dataset": "here", "seed": 0},
        {"dataset": "here", "seed": 1},
    ]
    ensemble.save(tmp_path / "e")
    loaded = Ensemble.load(tmp_path / "e")
    assert loaded.meta == {"dataset": "here"}
    assert [net.meta["seed"] for net in loaded.networks] == [0, 1]


def test_one_function_loads_both_kinds(tmp_path: Path) -> None:
    regression(2).save(tmp_path / "e")
    regression(1).networks[0].save(tmp_path / "n")
    assert [load(tmp_path / name).name for name in "en"] == ["2 × 5-4-1", "5-4-1"]
    with pytest.raises(ValueError, match="nothing does not exist"):
        load(tmp_path / "nothing")
