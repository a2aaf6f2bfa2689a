"""Models of tables as ONNX files, which take the raw columns."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from tabular import QUICK, fruits, times, write

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("target", ["kind", "length"])
def test_an_onnx_file_takes_the_raw_columns(gpunn_, trained, target):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    write("fruits.csv", fruits())
    trained("fruits.csv", "--target", target, "--output", "run", "--device", "cpu")
    assert gpunn_("export", "run", "fruits.onnx")[0] == 0
    rows = list(csv.DictReader(fruits().splitlines()))
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != target}
    given = {
        name: np.array(values, object)
        if name in ("colour", "kind")
        else np.array([value or "nan" for value in values], np.float32)
        for name, values in columns.items()
    }
    session = onnxruntime.InferenceSession("fruits.onnx")
    found = session.run(None, {name: values[:, None] for name, values in given.items()})
    expected = json.loads(gpunn_("predict", "run", "fruits.csv", "--json")[1])["predictions"]
    if target == "length":
        assert found[0][:, 0] == pytest.approx([row["prediction"] for row in expected], rel=1e-5)
    else:
        assert found[0].max(axis=1) == pytest.approx([row["probability"] for row in expected], abs=1e-5)
        assert [["apple", "banana"][k] for k in found[1]] == [row["prediction"] for row in expected]


@pytest.mark.parametrize("target", ["y", "t"])
def test_an_onnx_file_keeps_the_precision_of_times(gpunn_, trained, target):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    write("t.csv", times())
    trained("t.csv", "--target", target, "--output", "run", "--device", "cpu")
    assert gpunn_("export", "run", "t.onnx")[0] == 0
    session = onnxruntime.InferenceSession("t.onnx")
    rows = list(csv.DictReader(times().splitlines()))
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    given = {
        column.name: np.array([row[column.name] for row in rows])[:, None].astype(types[column.type])
        for column in session.get_inputs()
    }
    found = session.run(None, given)[0]
    expected = json.loads(gpunn_("predict", "run", "t.csv", "--json")[1])["predictions"]
    if target == "t":
        assert found[:, 0] == pytest.approx([row["prediction"] for row in expected], rel=0, abs=1e-3)
    else:
        assert found.max(axis=1) == pytest.approx([row["probability"] for row in expected], abs=1e-5)


@pytest.mark.filterwarnings("ignore:the outputs of sigmoid are in")
def test_regression_has_no_label_output(gpunn_, trained):
    pytest.importorskip("onnx")
    write("t.csv", times())
    asked = "--output-activation", "sigmoid", "--cost", "mae"
    trained("t.csv", "--target", "t", *asked, "--output", "run", *QUICK)
    code, out, _ = gpunn_("export", "run", "t.onnx", "--json")
    assert (code, json.loads(out)["outputs"]) == (0, {"prediction": "float64 (N, 1)"})


def test_column_names_do_not_clash_with_names_of_the_graph(gpunn_, trained):
    pytest.importorskip("onnx")
    write(
        "t.csv",
        "a0,x1,w1,label,y\n"
        + "".join(f"{i * 37 % 11},{i * 5 % 7},{i % 5},{i % 3},{i % 2}\n" for i in range(60)),
    )
    trained("t.csv", "--target", "y", *QUICK)
    code, out, err = gpunn_("export", "gpunn-runs/t-1", "t.onnx", "--json")
    assert (code, err) == (0, "")
    assert list(json.loads(out)["inputs"]) == ["a0", "x1", "w1", "label"]
    assert list(json.loads(out)["outputs"]) == ["probabilities", "label_"]
