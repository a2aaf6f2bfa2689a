"""Threshold and temperature, chosen after training on rows that were held out of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score
from tabular import QUICK, fruits, quantities, rare, write

from gpunn import Dense, Network, cli, tables
from gpunn.tables.adjusting import best_threshold, held_out_outputs
from gpunn.tables.reading import Format

pytest.importorskip("pyarrow")
BRIEF = ["--epochs", "20", "--hidden", "8", "--device", "cpu", "--ensemble", "1"]


@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("balanced", [False, True])
def test_no_other_threshold_is_better(share, balanced):
    rng = np.random.default_rng(3)
    y = (rng.random(300) < share).astype(int)
    p = np.clip(0.3 * y + rng.random(300) * 0.7, 0, 1).astype(np.float32)
    rarer = int(share < 0.5)

    def score(threshold):
        predicted = (p > threshold).astype(int)
        return balanced_accuracy_score(y, predicted) if balanced else f1_score(y, predicted, pos_label=rarer)

    best = score(best_threshold(y, p, balanced=balanced))
    assert best == pytest.approx(max(score(threshold) for threshold in [0, *p.astype(float)]))


def test_one_class_has_no_best_threshold():
    assert best_threshold(np.zeros(9, int), np.linspace(0, 1, 9), balanced=False) == 0.5


def test_networks_predict_only_rows_that_were_held_out_of_their_training():
    X = np.random.default_rng(0).normal(size=(3, 10))
    networks = [Network(3, [Dense(2, "softmax")], seed=seed, dtype="float64") for seed in (5, 6)]
    rows = {5: np.array([1, 4]), 6: np.array([4, 7])}
    outputs, held = held_out_outputs(networks, rows, X, rows.get)
    one, other = (net.forward(X) for net in networks)
    assert held.tolist() == [1, 4, 7]
    np.testing.assert_allclose(outputs[:, 0], one[:, 1])
    np.testing.assert_allclose(outputs[:, 1], (one[:, 4] + other[:, 4]) / 2)
    np.testing.assert_allclose(outputs[:, 2], other[:, 7])
    assert held_out_outputs(networks, rows, X, lambda seed: None) is None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("rare") / "rare.csv"
    path.write_text(rare())
    return tables.train(path, "y", threshold="best", epochs=20, hidden=8, ensemble=1, device="cpu"), path


def test_the_best_threshold_belongs_to_the_model(model, tmp_path):
    trained, path = model
    assert 0 < trained.target.threshold < 0.5
    trained.save(tmp_path / "model")
    again = tables.load_model(tmp_path / "model")
    p, labels = again.predict_proba(path)[:, 1], again.predict(path)
    assert again.target.threshold == trained.target.threshold
    assert np.array_equal(labels == "yes", p > trained.target.threshold)
    assert np.sum(p > 0.5) < np.sum(labels == "yes")


def test_the_command_line_predicts_and_evaluates_by_the_threshold(gpunn_, trained):
    write("rare.csv", rare())
    result = trained("rare.csv", "--target", "y", "--threshold", 0.2, *BRIEF, "--output", "run")
    assert result["threshold"] == 0.2
    rows = list(csv.DictReader(gpunn_("predict", "run", "rare.csv")[1].splitlines()))
    assert all((row["prediction"] == "yes") == (float(row["P(yes)"]) > 0.2) for row in rows)
    assert any(float(row["probability"]) < 0.5 for row in rows)
    evaluated = json.loads(gpunn_("evaluate", "run", "--json")[1])
    assert evaluated["accuracy"] == result["test_accuracy"]
    assert evaluated["balanced_accuracy"] == result["test_balanced_accuracy"]
    found = json.loads(Path("run/run.json").read_text())["findings"]
    assert found["confusion"] == evaluated["confusion_matrix"] and found["ranking"]["threshold"] == 0.2
    assert found["ranking"]["hits"][200] == found["confusion"][1][1]
    code, out, _ = gpunn_("train", "rare.csv", "--target", "y", "--threshold", "best", *BRIEF)
    assert code == 0 and "'yes' is predicted if its probability is above 0." in out
    assert ", chosen on held-out training rows\n" in out


def test_an_onnx_file_has_the_threshold(gpunn_, trained):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    write("rare.csv", rare())
    trained("rare.csv", "--target", "y", "--threshold", 0.2, *BRIEF, "--output", "run")
    assert gpunn_("export", "run", "rare.onnx")[0] == 0
    rows = list(csv.DictReader(rare().splitlines()))
    given = {name: np.array([[row[name]] for row in rows], np.float32) for name in ("a", "b")}
    p, label = onnxruntime.InferenceSession("rare.onnx").run(None, given)
    assert np.array_equal(label, p[:, 1] > 0.2) and np.any(label != (p[:, 1] > 0.5))
    said = tables.load_model("run").predict("rare.csv")
    assert np.array_equal(np.array(["no", "yes"])[label], said)


def test_every_fold_chooses_a_threshold_of_its_own(trained):
    write("rare.csv", rare())
    asked = ["rare.csv", "--target", "y", "--cv", 3, *BRIEF]
    chosen, plain = trained(*asked, "--threshold", "best"), trained(*asked)
    assert chosen["cv"]["mean"]["balanced_accuracy"] > plain["cv"]["mean"]["balanced_accuracy"]
    assert chosen["cv"]["mean"]["roc_auc"] == plain["cv"]["mean"]["roc_auc"]


SMOOTHED = ["--target", "y", "--label-smoothing", "0.4", "--epochs", "30", "--hidden", "8", "--ensemble", "1"]


def clear(m=1200, seed=0):
    """Make a table of three classes that are easily told apart."""
    rng = np.random.default_rng(seed)
    rows = [f"{rng.normal(2 * (i % 3)):.4f},{'abc'[i % 3]}" for i in range(m)]
    return "\n".join(["x,y", *rows]) + "\n"


@pytest.fixture(scope="module", params=[1, 3])
def calibrated(request, tmp_path_factory):
    """A run that was trained to be less confident than it may be, with its result and its table."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "clear.csv").write_text(clear())
    asked = [folder / "clear.csv", *SMOOTHED, "--ensemble", request.param, "--output", folder / "run"]
    assert cli.main(["train", *map(str, asked), "--device", "cpu"]) == 0
    return folder


def test_probabilities_are_calibrated(calibrated, gpunn_):
    run, data = calibrated / "run", calibrated / "clear.csv"
    model, kept = tables.load_model(run), json.loads((run / "run.json").read_text())
    result = kept["result"]
    assert result["temperature"] == model.target.temperature < 0.9
    assert result["test_log_loss"] < result["uncalibrated_log_loss"]
    evaluated = json.loads(gpunn_("evaluate", run, "--json")[1])
    assert evaluated["log_loss"] == pytest.approx(result["test_log_loss"])
    a, _ = model.outputs(model.read(model.open(data, Format())), "cpu")
    expected = softmax(np.log(a) / model.target.temperature, axis=0).T
    assert model.predict_proba(data) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert np.array_equal(model.predict(data), model.classes[a.argmax(axis=0)])
    rows = list(csv.DictReader(gpunn_("predict", run, data)[1].splitlines()))
    mistake = kept["findings"]["mistakes"][0]
    row = rows[int(mistake["place"].removeprefix("row ").replace(",", "")) - 1]
    assert float(row["probability"]) == pytest.approx(mistake["probability"], rel=1e-5)


def test_an_onnx_file_has_the_temperature(calibrated, gpunn_, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert gpunn_("export", calibrated / "run", tmp_path / "m.onnx")[0] == 0
    x = np.array([[float(line.split(",")[0])] for line in clear().splitlines()[1:]], np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert [output.name for output in session.get_outputs()] == ["probabilities", "label"]
    p, label = session.run(None, {"x": x})
    assert p == pytest.approx(tables.load_model(calibrated / "run").predict_proba({"x": x[:, 0]}), abs=1e-5)
    assert np.array_equal(label, p.argmax(axis=1))


def test_the_command_line_says_how_probabilities_were_calibrated(gpunn_):
    write("clear.csv", clear())
    out = gpunn_("train", "clear.csv", *SMOOTHED, "--device", "cpu")[1]
    words = "probabilities calibrated on held-out training rows: temperature 0."
    assert words in out and " before, 0." in out and " after\n" in out
    plain = gpunn_("train", "clear.csv", *SMOOTHED[:2], *QUICK)[1]  # without rows to calibrate on
    assert "calibrated" not in plain


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "1"], "--threshold must be best or a number between 0 and 1, not 1"),
        (["--threshold", "good"], "--threshold must be best or a number between 0 and 1, not good"),
        (["--threshold", "best", "--patience", "0"], "early stopping holds out: choose --patience"),
        (
            ["--threshold", "0.3", "--output-activation", "identity"],
            "needs probabilities: choose another",
        ),
        (
            ["--target", "length", "--threshold", "0.3"],
            "two classes, but 'length' is a number",
        ),
        (["--target", "colour", "--threshold", "0.3"], "'colour' has 3"),
    ],
)
def test_what_has_no_threshold_is_refused(refused, arguments, words):
    write("fruits.csv", fruits())
    refused(["train", "fruits.csv", "--target", "kind", *QUICK[:4], *arguments], words)


def test_images_have_no_threshold(refused):
    write("q.csv", quantities())
    refused(["train", "digits", "--threshold", "0.3"], "--threshold", "table")
