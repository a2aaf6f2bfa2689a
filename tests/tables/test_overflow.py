"""A value that is far from those trained on: limited, or named by its place if an older model overflows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, write

import gpunn
from gpunn.tables.prepared import PreparedTable
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import Format
from gpunn.tables.task import TableTask
from gpunn.training.loop import Diverged

pytest.importorskip("pyarrow")

PLACE = "far.csv, line 3, column 'b': the value is too far from those trained on"


@pytest.fixture(params=["kind", "size"])
def target(request):
    """Write a table, and another one with a value that overflows in float32, and return the target."""
    names = "a,b,size,kind\n"
    rows = (f"{'xyz'[i % 3]},0.{i % 7},{i * 1.5},{'np'[i % 2]}\n" for i in range(60))
    write("t.csv", names + "".join(rows))
    write("far.csv", f"{names}x,0.2,3,n\ny,3e38,4,p\nx,0.1,2,n\n")
    return request.param


def test_a_far_value_counts_as_the_largest(target):
    model = gpunn.tables.train("t.csv", target, test="far.csv", epochs=1, ensemble=1, device="cpu")
    far = {"a": ["y", "y"], "b": [3e38, 1e6], "size": [4.0, 4.0], "kind": ["p", "p"]}
    assert np.isfinite(model.evaluate("far.csv")["loss"])
    first, second = model.network.forward(model.preprocessing.apply(*rows_of(model, far))[0]).T
    assert first == pytest.approx(second, abs=1e-5)


def rows_of(model, columns):
    table = model.read(model.open(columns, Format()))
    return table, table.rows


@pytest.fixture
def unbounded(target):
    """Train a model with features without a bound, as gpunn 0.1.0 did, and save it as "old"."""
    model = gpunn.tables.train("t.csv", target, epochs=1, ensemble=1, device="cpu")
    kept = model.network.meta["table"]
    kept["columns"] = [
        {name: column[name] for name in ("name", "fill", "mean", "scale")} if "fill" in column else column
        for column in kept["columns"]
    ]
    features = Preprocessing.from_json(kept).features
    *hidden, output = model.network.layers
    net = gpunn.Network(features, [*hidden, output], model.network.cost, seed=0, meta=model.network.meta)
    net.save("old.safetensors")


@pytest.mark.usefixtures("unbounded")
def test_prediction_and_evaluation_with_an_older_model_name_the_row(refused):
    for command in "predict", "evaluate":
        refused([command, "old.safetensors", "far.csv"], PLACE)


@pytest.mark.usefixtures("unbounded")
def test_an_older_model_predicts_as_it_did(target):
    model = gpunn.tables.load_model("old.safetensors")
    column = np.array([i % 7 / 10 for i in range(60)])
    step = model.preprocessing.numbers[0]
    X, _ = model.preprocessing.apply(*rows_of(model, "t.csv"))
    assert (step.clip, step.edges, step.gaps) == (None, (), False)
    place = model.preprocessing.columns.index(step)
    first = sum(each.features for each in model.preprocessing.columns[:place])
    np.testing.assert_allclose(X[first], (column - step.mean) / step.scale, rtol=1e-5, atol=1e-6)


def test_a_model_whose_outputs_overflow_is_named_with_its_table(target, trained, refused):
    trained("t.csv", "--target", target, *QUICK, "--output", "run")
    net = gpunn.Network.load("run")
    net.theta[:] = 1e38
    net.save("run/model.safetensors")
    for command in "predict", "evaluate":
        refused([command, "run", "t.csv"], "run on t.csv: ", "not finite")


def test_a_fold_that_fails_does_not_end_the_run(target, gpunn_, monkeypatch):
    evaluate, calls = PreparedTable.evaluate, []

    def overflow(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise ValueError("the outputs overflow")
        return evaluate(*arguments)

    monkeypatch.setattr(PreparedTable, "evaluate", overflow)
    with pytest.warns(UserWarning, match="fold 2 failed: the outputs overflow"):
        model = gpunn.tables.train("t.csv", target, cv=3, epochs=1, ensemble=1, device="cpu")
    good = [fold for fold in model.folds if "failed" not in fold]
    measure = "accuracy" if target == "kind" else "rmse"
    assert (len(model.folds), len(good)) == (3, 2)
    assert model.cv["mean"][measure] == pytest.approx(sum(fold[measure] for fold in good) / 2)
    calls.clear()
    code, out, err = gpunn_("train", "t.csv", "--target", target, *QUICK, "--cv", 3, "--output", "run")
    assert (code, err) == (0, "gpunn: warning: fold 2 failed: the outputs overflow\n")
    assert "3 folds, 1 of which failed: " in out
    assert gpunn_("report", "run", "--no-browser")[0] == 0
    assert Path("run/report.html").read_text(encoding="utf-8").count("failed: the outputs overflow") == 1


def test_all_folds_may_fail(gpunn_, monkeypatch):
    def diverge(*_, **__):
        raise Diverged("the cost became nan in epoch 1")

    write("t.csv", "a,y\n" + "".join(f"{i % 7},{'np'[i % 2]}\n" for i in range(60)))
    monkeypatch.setattr(TableTask, "fit", diverge)  # of folds; the command line trains on its own
    code, out, err = gpunn_("train", "t.csv", "--target", "y", *QUICK, "--cv", 3, "--output", "run")
    assert (code, err.count("failed: the cost became nan in epoch 1\n")) == (0, 3)
    assert "all 3 folds failed; trained on all rows: " in out
    assert gpunn_("report", "run", "--no-browser")[0] == 0
