"""`--interval`: prediction intervals, their coverage, and where they are written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, fruits, quantities, write

import gpunn
from gpunn import Dense, Network, cli, tables
from gpunn.tables.quantity import Quantity

pytest.importorskip("pyarrow")


def spread_out(m=600, seed=0):
    """Make a table of numbers whose noise grows with x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, m)
    y = 100 + 50 * x + (1 + 20 * x) * rng.normal(size=m)
    return "x,y\n" + "".join(f"{a:.4f},{b:.3f}\n" for a, b in zip(x, y, strict=True))


@pytest.fixture(scope="module", params=[1, 3])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("intervals")
    (folder / "t.csv").write_text(spread_out())
    asked = [folder / "t.csv", "--target", "y", "--interval", "0.8", "--ensemble", request.param]
    asked += ["--epochs", "40", "--hidden", "16", "--device", "cpu", "--output", folder / "run"]
    assert cli.main(["train", *map(str, asked), "--json"]) == 0
    return folder / "run"


def test_intervals_hold_about_their_share_and_grow_with_the_noise(run):
    model, data = tables.load_model(run), run.parent / "t.csv"
    ends, y = model.predict_interval(data), model.predict(data)
    rows = [[float(v) for v in line.split(",")] for line in spread_out().splitlines()[1:]]
    x, actual = np.array(rows).T
    assert np.all(ends[:, 0] <= y) and np.all(y <= ends[:, 1])
    assert np.mean((ends[:, 0] <= actual) & (actual <= ends[:, 1])) == pytest.approx(0.8, abs=0.08)
    width = ends[:, 1] - ends[:, 0]
    assert width[x > 0.8].mean() > 2 * width[x < 0.2].mean()


def test_coverage_and_width_are_those_of_the_test(run, gpunn_):
    result = json.loads((run / "run.json").read_text())["result"]
    evaluated = json.loads(gpunn_("evaluate", run, "--json")[1])
    assert evaluated["coverage"] == result["test_coverage"] > 0.6
    assert evaluated["width"] == pytest.approx(result["test_width"])
    assert result["settings"]["cost"] == "quantiles(0.8)"
    assert f"0.8 intervals: coverage {result['test_coverage']:.2%}, mean width " in gpunn_("evaluate", run)[1]
    assert "<dt>coverage</dt>" in (run / "report.html").read_text()


def test_predictions_have_the_ends_of_the_intervals(run, gpunn_):
    data = run.parent / "t.csv"
    rows = list(csv.DictReader(gpunn_("predict", run, data)[1].splitlines()))
    ends = tables.load_model(run).predict_interval(data)
    for k, name in enumerate(("lower", "upper")):
        assert [float(row[name]) for row in rows] == pytest.approx(ends[:, k], rel=1e-5)
    assert json.loads(gpunn_("predict", run, data, "--json")[1])["predictions"][0].keys() == rows[0].keys()


def test_an_onnx_file_has_the_intervals(run, gpunn_, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert gpunn_("export", run, tmp_path / "t.onnx")[0] == 0
    session = onnxruntime.InferenceSession(tmp_path / "t.onnx")
    assert [output.name for output in session.get_outputs()] == ["prediction", "lower", "upper"]
    x = np.linspace(0, 1, 50)
    found = session.run(None, {"x": x[:, None].astype(np.float32)})
    model = tables.load_model(run)
    expected = np.column_stack([model.predict({"x": x}), model.predict_interval({"x": x})])
    np.testing.assert_allclose(np.hstack(found), expected, rtol=1e-4)


def test_every_fold_has_a_coverage(trained):
    write("t.csv", spread_out())
    asked = ["--epochs", 10, "--hidden", 8, "--ensemble", 1, "--cv", 3]
    result = trained("t.csv", "--target", "y", "--interval", 0.5, *asked)
    assert result["cv"]["mean"]["coverage"] == pytest.approx(0.5, abs=0.15)


def test_three_outputs_learn_the_quantiles():
    y = np.random.default_rng(0).exponential(size=4000)
    net = Network(1, [Dense(3, "identity")], "quantiles(0.8)", 0, "float64")
    X, Y = np.ones((1, 4000)), np.repeat(y[None], 3, axis=0)
    net.fit(X, Y, epochs=150, batch_size=4000, optimizer=gpunn.Adam(0.05), device="cpu")
    assert net.forward(X[:, :1])[:, 0] == pytest.approx(np.quantile(y, [0.1, 0.5, 0.9]), abs=0.05)


def test_the_correction_makes_the_intervals_hold_their_share():
    rng = np.random.default_rng(1)
    target, y = Quantity("y", mean=5.0, scale=2.0, interval=0.9), 5 + 2 * rng.normal(size=999)
    outputs = np.repeat([[0.2], [-0.1], [0.0]], 999, axis=1)  # not in order, and far too narrow
    low, high = target.widened_to(y, outputs).bounds(outputs)
    assert np.mean((low <= y) & (y <= high)) == pytest.approx(0.9, abs=0.002)
    assert target.decode(None, outputs) == pytest.approx(np.full(999, 5.0))
    wide = np.repeat([[-9.0], [0.0], [9.0]], 999, axis=1)
    low, high = target.widened_to(y, wide).bounds(wide)
    assert np.mean((low <= y) & (y <= high)) == pytest.approx(0.9, abs=0.002)  # narrowed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--interval", "1"], "--interval must be between 0 and 1, not 1.0"),
        (["--interval", "0.9", "--target", "kind"], "needs a target of numbers, not 'kind'"),
        (["--interval", "0.9", "--cost", "mae"], "trains with the cost quantiles: leave out --cost"),
    ],
)
def test_what_has_no_intervals_is_refused(refused, arguments, words):
    write("fruits.csv", fruits())
    refused(["train", "fruits.csv", "--target", "length", *QUICK, *arguments], words)


def test_a_model_without_intervals_says_so():
    write("q.csv", quantities())
    model = tables.train("q.csv", "price", epochs=1, ensemble=1, device="cpu")
    with pytest.raises(ValueError, match=r"predicts no intervals: train it with interval=0\.9"):
        model.predict_interval("q.csv")
    assert Path("q.csv").exists() and model.target.interval is None
