"""ONNX files: onnxruntime computes the same outputs as the network."""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gpunn
from gpunn import ACTIVATIONS, Activation, Dense, Network, cli
from gpunn.cli import deploy
from gpunn.datasets import Dataset
from gpunn.files import writing

export = pytest.importorskip("gpunn.export", exc_type=ImportError)
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

IMAGES = {"image_shape": (8, 8), "classes": list("0123456789")}


def run(net: Network, path: Path, X: np.ndarray) -> dict[str, np.ndarray]:
    """Run the exported network on X (n_in, m): output name → array, with examples as columns again."""
    export.to_onnx(net, path)
    session = onnxruntime.InferenceSession(path)
    found = session.run(None, {"X": np.ascontiguousarray(X.T)})
    return {out.name: a.T for out, a in zip(session.get_outputs(), found, strict=True)}


@pytest.mark.parametrize("f", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_activation_agrees_on_the_digits(tmp_path: Path, digits: Dataset, f: str, dtype: str) -> None:
    layers = [Dense(24, f, batch_norm=True), Dense(17, f), Dense(10, f)]
    net = Network(64, layers, "quadratic", 0, dtype, IMAGES)
    net.theta[:] /= 4  # exp of exp would diverge
    net.fit(digits.train.X, digits.train.y, epochs=1, optimizer=gpunn.SGD(1e-3))
    found = run(net, tmp_path / "m.onnx", digits.test.X)
    outputs = found["probabilities" if f in ("sigmoid", "softmax") else "outputs"]
    expected = net.forward(digits.test.X)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    two = np.sort(expected, axis=0)[-2:]
    clear = two[1] - two[0] > 1e-5
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found["label"][clear], net.predict(digits.test.X)[clear])


def test_a_spelling_may_have_several_operators(tmp_path: Path) -> None:
    own = Activation.from_functions(lambda z: z * np.tanh(z) / 2, np.tanh)
    own = replace(own, onnx="s = Tanh(z) h = Constant <value_float = 0.5> () p = Mul(z, s) a = Mul(p, h)")
    X = np.random.default_rng(0).standard_normal((3, 50), np.float32)
    net = Network(3, [Dense(5, own), Dense(4, own), Dense(2, "identity")], seed=0)
    np.testing.assert_allclose(run(net, tmp_path / "m.onnx", X)["outputs"], net.forward(X), atol=1e-6)


def test_mnist_agrees(tmp_path: Path, mnist: Dataset) -> None:
    net = Network(784, [Dense(128, "relu"), Dense(10, "softmax")], seed=0, meta={"image_shape": (28, 28)})
    net.fit(mnist.train.X, mnist.train.y, epochs=1, batch_size=128, optimizer="nesterov")
    found = run(net, tmp_path / "m.onnx", mnist.test.X)
    assert np.abs(found["probabilities"] - net.forward(mnist.test.X)).max() <= 1e-5
    assert (found["label"] == mnist.test.y).mean() > 0.95


def test_features_instead_of_pixels(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((3, 50), np.float32)
    net = Network(3, [Dense(5, "gelu"), Dense(2, "identity")], "huber", 0)
    found = run(net, tmp_path / "m.onnx", X)
    assert list(found) == ["outputs"]  # regression has no labels
    np.testing.assert_allclose(found["outputs"], net.forward(X), atol=1e-5)


@pytest.mark.parametrize(("f", "cost"), [("sigmoid", "binary-cross-entropy"), ("identity", "hinge")])
def test_a_single_output_is_labelled_by_its_threshold(tmp_path: Path, f: str, cost: str) -> None:
    X = np.random.default_rng(1).standard_normal((4, 200), np.float32)
    net = Network(4, [Dense(3, "tanh"), Dense(1, f)], cost, 3)
    label = run(net, tmp_path / "m.onnx", X)["label"]
    assert set(label) == {0, 1}
    np.testing.assert_array_equal(label, net.predict(X))


def test_any_number_of_rows(tmp_path: Path) -> None:
    for m in (1, 7):
        found = run(Network([64, 10], seed=0), tmp_path / "m.onnx", np.zeros((64, m), np.float32))
        assert found["probabilities"].shape == (10, m) and found["label"].shape == (m,)


def test_the_metadata_describes_the_network(tmp_path: Path) -> None:
    export.to_onnx(Network([64, 30, 10], seed=0).astype("float32"), tmp_path / "bare.onnx")
    net = Network(64, [Dense(10, "softmax")], seed=0, meta={**IMAGES, "resume": {"private": 1}})
    export.to_onnx(net, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    meta = session.get_modelmeta()
    assert meta.producer_name == "gpunn" and meta.graph_name == "64-10"
    assert meta.custom_metadata_map == {
        "gpunn": gpunn.__version__,
        "network": "64-10",
        "classes": json.dumps(IMAGES["classes"]),
        "image_shape": "[8, 8]",
    }
    (X,) = session.get_inputs()
    assert (X.name, X.type, X.shape) == ("X", "tensor(uint8)", ["N", 64])


# errors


def test_a_function_of_your_own_is_refused(tmp_path: Path) -> None:
    square = Activation.from_functions(np.square, lambda z: 2 * z, name="square")
    with pytest.raises(ValueError, match="'square' is your own"):
        export.to_onnx(Network(2, [Dense(3, square), Dense(1)], seed=0), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_too_large_for_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.model, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="64-10 has 650 parameters"):
        export.to_onnx(Network([64, 10], seed=0), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_existing_file_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, net = tmp_path / "m.onnx", Network([4, 2], seed=0)
    export.to_onnx(net, path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*m\.onnx"):
        export.to_onnx(Network([4, 3], seed=0), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


def test_without_onnx_the_error_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Network([4, 2], seed=0).save(tmp_path / "model.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "gpunn.export")
    assert cli.main(["export", str(tmp_path), str(tmp_path / "m.onnx")]) == 2
    said = 'gpunn: error: ONNX files need onnx: pip install "gpunn[onnx]"\n'
    assert capsys.readouterr() == ("", said)


# on the command line


def test_strings_are_called_strings() -> None:
    text = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.STRING, ["N", 1])
    assert deploy.signature([text]) == {"c": "string (N, 1)"}


def test_export_prints_inputs_and_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Network(64, [Dense(10, "softmax")], seed=0, meta=IMAGES).save("model.safetensors")
    assert cli.main(["export", ".", "m.onnx"]) == 0
    said = "saved m.onnx: X uint8 (N, 64) → probabilities float32 (N, 10), label int64 (N)\n"
    assert capsys.readouterr() == (said, "")
    assert cli.main(["export", ".", "m.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "model": ".",
        "onnx": "m.onnx",
        "inputs": {"X": "uint8 (N, 64)"},
        "outputs": {"probabilities": "float32 (N, 10)", "label": "int64 (N)"},
    }


@pytest.mark.parametrize(
    ("model", "file", "words"),
    [
        ("nowhere", "m.onnx", "nowhere does not exist"),
        (".", "model.safetensors", "model.safetensors: expected a name that ends in .onnx"),
        (".", "nowhere/m.onnx", "nowhere/m.onnx: No such file or directory"),
        (".", "folder.onnx", "folder.onnx: Is a directory"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    file: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Network([4, 2], seed=0).save("model.safetensors")
    (tmp_path / "folder.onnx").mkdir()
    before = Path("model.safetensors").read_bytes()
    assert cli.main(["export", model, file]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"gpunn: error: {words}") and err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.onnx", "model.safetensors"]
    assert Path("model.safetensors").read_bytes() == before
