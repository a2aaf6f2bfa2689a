"""Tables on the command line: from a file to predictions, and one line for what is wrong with it."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpunn import Network, cli
from gpunn.tables.csvfile import CsvFile
from gpunn.tables.loading import TableOptions, load
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.problem import read_known
from gpunn.tables.reading import Format, read
from gpunn.tables.table import NUMBER, TEXT
from gpunn.training.splitting import sample_each_class

pytest.importorskip("pyarrow")

ROOT = Path(__file__).parents[2]
QUICK = ["--epochs", "3", "--hidden", "8", "--device", "cpu", "--patience", "0"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def trained(gpunn_):
    """What training says in JSON."""

    def train(*arguments):
        code, out, err = gpunn_("train", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return train


@pytest.fixture
def refused(gpunn_, tmp_path):
    """The exit code is 2, stderr one line that holds these words, and nothing is left behind."""

    def check(arguments, *words):
        before = sorted(os.listdir(tmp_path))
        code, out, err = gpunn_(*arguments)
        assert (code, out) == (2, ""), err
        assert err.startswith("gpunn: error: ") and err.count("\n") == 1, err
        for word in words:
            assert str(word) in err, err
        assert sorted(os.listdir(tmp_path)) == before

    return check


def write(name, text, encoding="utf-8"):
    Path(name).write_bytes(text.encode(encoding))
    return name


def fruits(m=120, seed=0):
    """Two classes that weight, colour and size tell apart; some of it missing."""
    rng = np.random.default_rng(seed)
    lines = ["weight,colour,length,kind"]
    for i in range(m):
        apple = i % 2
        weight = "" if i % 17 == 3 else f"{rng.normal(150 if apple else 120, 10):.1f}"
        colour = "" if i % 23 == 5 else str(rng.choice(["red", "green"] if apple else ["yellow", "green"]))
        lines.append(
            f"{weight},{colour},{rng.normal(8 if apple else 18, 1):.2f},{['banana', 'apple'][apple]}"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def run_of_fruits(tmp_path_factory):
    """The folder of a run on fruits.csv, which lies beside it."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "fruits.csv").write_text(fruits())
    arguments = [folder / "fruits.csv", "--target", "kind", "--output", folder / "run", "--device", "cpu"]
    assert cli.main(["train", *map(str, arguments), "--json"]) == 0
    return folder / "run"


# train


def test_classification_is_found_told_and_learnt(gpunn_):
    write("fruits.csv", fruits())
    code, out, err = gpunn_("train", "fruits.csv", "--target", "kind", "--device", "cpu")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "fruits.csv: 120 rows, 2 columns of numbers, 1 of categories, 12 missing values"
    assert lines[1] == "target 'kind': classification, 2 classes: apple, banana"
    assert lines[2] == "fruits.csv, 96 examples: 6-128-2, 1,154 parameters, adam, on cpu"
    assert re.match(r"test accuracy [\d.]+% \(baseline accuracy 50.00%\), (stopped early after )?", lines[3])
    assert lines[4] == "report gpunn-runs/fruits-1/report.html"
    assert lines[5] == "saved gpunn-runs/fruits-1/model.safetensors; now try"
    for line in lines[6:]:
        program, *arguments = shlex.split(line)
        assert program == "gpunn"
        assert gpunn_(*arguments)[0] == 0
    assert sorted(os.listdir("gpunn-runs/fruits-1")) == [
        "history.jsonl",
        "model.safetensors",
        "report.html",
        "run.json",
    ]


def test_json_has_the_score_and_the_baseline(trained):
    write("fruits.csv", fruits())
    result = trained("fruits.csv", "--target", "kind")
    assert result["task"] == "classification"
    assert result["test_examples"] == 24
    assert result["test_accuracy"] > 0.9
    assert result["baseline"] == {"accuracy": 0.5}
    assert result["settings"]["optimizer"] == "adam"
    assert Network.load("gpunn-runs/fruits-1").meta["test_accuracy"] == result["test_accuracy"]


def quantities(m=300, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(50, 5, m), rng.uniform(0, 1, m)
    y = 1e4 + 300 * (a - 50) + 2000 * b**2
    return "a,b,price\n" + "".join(f"{a[i]:.4f},{b[i]:.4f},{y[i]:.3f}\n" for i in range(m))


def test_regression_is_measured_in_the_targets_units(trained):
    write("q.csv", quantities())
    result = trained("q.csv", "--target", "price")
    assert result["task"] == "regression"
    assert result["test_r2"] > 0.95 > 0.1 > result["baseline"]["r2"]
    assert 10 < result["test_rmse"] < result["baseline"]["rmse"] / 4
    assert 1000 < result["baseline"]["rmse"] < 2500
    assert result["settings"]["cost"] == "quadratic"


def amounts(m=300, seed=0):
    """Above 0, and twice as much for every unit of a."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, m))
    return "a,b,amount\n" + "".join(f"{a[i]:.4f},{b[i]:.4f},{1e4 * 2 ** a[i]:.2f}\n" for i in range(m))


@pytest.mark.parametrize("f", ["exp", "softplus"])
def test_a_target_suits_the_outputs(trained, f):
    write("t.csv", amounts())
    result = trained("t.csv", "--target", "amount", "--output-activation", f, "--output", "run")
    assert result["settings"]["cost"] == {"exp": "poisson", "softplus": "quadratic"}[f]
    assert result["test_r2"] > 0.9
    target = Network.load("run").meta["table"]["target"]
    assert target["mean"] == 0 and 1e4 < target["scale"] < 1.5e4


def test_a_target_that_the_outputs_reach_stays_as_it_is(trained, refused):
    lines = amounts().splitlines()[1:]
    shares = [f"{line.rpartition(',')[0]},{i % 101 / 100}" for i, line in enumerate(lines)]
    write("t.csv", "\n".join(["a,b,share", *shares]))
    sigmoid = "--output-activation", "sigmoid"
    trained("t.csv", "--target", "share", *sigmoid, "--output", "run", *QUICK)
    assert Network.load("run").meta["table"]["target"] == {
        "task": "regression", "name": "share", "mean": 0.0, "scale": 1.0
    }  # fmt: skip
    write("t.csv", amounts())
    refused(["train", "t.csv", "--target", "amount", *sigmoid], "t.csv, line 2", "'amount' is ", "above 1")
    refused(["train", "t.csv", "--target", "a", "--cost", "poisson"], "'a' is -", "takes nothing below 0")
    write("debts.csv", "a,b,amount\n1,2,3\n1,2,-4.5\n")
    tested = "--cost", "poisson", "--test", "debts.csv"
    refused(["train", "t.csv", "--target", "amount", *tested], "debts.csv, line 3", "'amount' is -4.5")


@pytest.mark.parametrize(("values", "task"), [
    ([0, 1], "classification"),
    (["yes", "no"], "classification"),
    (["True", "False"], "classification"),
    (list(range(20)), "classification"),
    (list(range(21)), "regression"),
    ([0.5, 1.5], "regression"),
])  # fmt: skip
def test_the_target_decides_the_task(trained, values, task):
    lines = [f"{i * 0.37 % 1:.3f},{values[i % len(values)]}" for i in range(100)]
    write("t.csv", "x,y\n" + "\n".join(lines))
    assert trained("t.csv", "--target", "y", *QUICK)["task"] == task


def test_the_task_can_be_overruled(trained, refused):
    write("t.csv", "x,y,z\n" + "".join(f"{i * 0.37 % 1:.3f},{i % 3},{'ab'[i % 2]}\n" for i in range(60)))
    assert trained("t.csv", "--target", "y", "--task", "regression", *QUICK)["task"] == "regression"
    result = trained("t.csv", "--target", "x", "--task", "classification", "--test", "t.csv", *QUICK)
    assert result["task"] == "classification"
    refused(["train", "t.csv", "--target", "z", "--task", "regression"], "'z'", "numbers")
    refused(["train", "t.csv", "--target", "z", "--task", "regresion"], "did you mean 'regression'")


def test_cross_validation_prints_every_fold(gpunn_, trained):
    write("fruits.csv", fruits())
    arguments = ["fruits.csv", "--target", "kind", "--cv", 3, *QUICK]
    code, out, _ = gpunn_("train", *arguments)
    assert code == 0
    fold = r"fold {}: accuracy [\d.]+% \(baseline accuracy 50.00%\)"
    for n, line in enumerate(out.splitlines()[3:6], start=1):
        assert re.fullmatch(fold.format(n), line)
    assert re.match(
        r"3 folds: accuracy [\d.]+% ± [\d.]+% \(baseline accuracy 50.00%\); trained", out.splitlines()[6]
    )
    result = trained(*arguments)
    accuracies = [fold["accuracy"] for fold in result["cv"]["folds"]]
    assert result["cv"]["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["cv"]["std"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert "test_accuracy" not in result


def test_a_test_file_takes_the_place_of_held_out_rows(trained, gpunn_):
    write("train.csv", fruits(80))
    text = fruits(40, seed=1).replace("red", "blue").splitlines()
    reordered = ["kind,length,weight,colour"] + [
        ",".join(np.array(t.split(","))[[3, 2, 0, 1]]) for t in text[1:]
    ]
    write("test.csv", "\n".join(reordered))
    result = trained("train.csv", "--target", "kind", "--test", "test.csv")
    assert result["test_examples"] == 40
    _, out, err = gpunn_("evaluate", "gpunn-runs/train-1", "--json")
    assert json.loads(out)["accuracy"] == result["test_accuracy"]
    assert re.fullmatch(r"gpunn: values of categories that were not trained on: colour \d+\n", err)


def test_a_resumed_run_finds_its_table_again(gpunn_, trained, tmp_path, monkeypatch):
    write("fruits.csv", fruits())
    arguments = ["fruits.csv", "--target", "kind", "--checkpoint-every", 1, "--cv", 2, *QUICK]
    whole = trained(*arguments, "--output", "whole")
    trained(*arguments, "--output", "part")
    sorted(Path("part/checkpoints").iterdir())[-1].unlink()
    Path("part/model.safetensors").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, out, err = gpunn_("train", "--resume", "../part", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["cv"] == whole["cv"]
    assert np.array_equal(Network.load("../part").theta, Network.load("../whole").theta)
    with (tmp_path / "fruits.csv").open("a") as file:
        file.write("120,red,5,apple\n")
    assert "another data set" in gpunn_("train", "--resume", "../part")[2]


def test_the_held_out_rows_touch_no_statistics(trained):
    write("a.csv", quantities(100))
    options = TableOptions(target="price", held_out=0.3)
    table, _ = load(Path("a.csv"), options, "float32")
    held = sample_each_class(0.3, None, len(table.y), np.random.default_rng(0))
    lines = quantities(100).splitlines()
    for row in held:
        lines[row + 1] = "1e6,-1e6,1e9"
    write("b.csv", "\n".join(lines))
    for name in "ab":
        trained(f"{name}.csv", "--target", "price", "--held-out", 0.3, "--output", name, *QUICK)
    a, b = (Network.load(name) for name in "ab")
    assert a.meta["table"]["columns"] == b.meta["table"]["columns"]
    assert a.meta["table"]["target"] == b.meta["table"]["target"]
    assert np.array_equal(a.theta, b.theta)


def test_the_readmes_example(gpunn_, tmp_path):
    folder = Path(os.environ.get("GPUNN_DATA", ""))
    if not (folder / "wheat-seeds.csv").is_file():
        pytest.skip("wheat-seeds.csv is not at hand: set GPUNN_DATA to the folder that holds it")
    (tmp_path / "wheat-seeds.csv").write_bytes((folder / "wheat-seeds.csv").read_bytes())
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Tables\n")[2]
    _, commands, _, printed, *_ = re.split(r"```\w*\n", readme)
    said = []
    for command in commands.splitlines():
        code, out, err = gpunn_(*shlex.split(command)[1:])
        assert (code, err) == (0, "")
        said.append(out.splitlines())
    assert said[0][:3] == printed.splitlines()[:3]
    assert said[0][3].startswith(printed.splitlines()[3])
    assert said[1][9].startswith("5 folds: accuracy 9")
    assert said[3][1].startswith("accuracy 9") or said[3][1].startswith("accuracy 8")
    with open("predictions.csv", encoding="utf-8") as file:
        predicted = [row["prediction"] for row in csv.DictReader(file)]
    truth = [line.rpartition(",")[2] for line in Path("wheat-seeds.csv").read_text().splitlines()]
    assert np.mean([a == b for a, b in zip(predicted, truth, strict=True)]) > 0.9


# predict and evaluate


def test_predictions_are_a_csv(gpunn_, run_of_fruits):
    data = run_of_fruits.parent / "fruits.csv"
    code, out, err = gpunn_("predict", run_of_fruits, data)
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 120
    assert {row["prediction"] for row in rows} == {"apple", "banana"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    truth = [line.rpartition(",")[2] for line in data.read_text().splitlines()[1:]]
    assert np.mean([row["prediction"] == kind for row, kind in zip(rows, truth, strict=True)]) > 0.9
    assert gpunn_("predict", run_of_fruits, data, "-o", "p.csv") == (0, "", "")
    assert Path("p.csv").read_text() == out
    found = json.loads(gpunn_("predict", run_of_fruits, data, "--json")[1])["predictions"]
    assert [p["prediction"] for p in found] == [row["prediction"] for row in rows]


def test_predictions_far_from_0_are_told_apart(gpunn_, trained):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    write("far.csv", "x,y\n" + "".join(f"{a:.5f},{1.7e9 + 100 * a:.3f}\n" for a in x))
    trained("far.csv", "--target", "y", "--output", "run")
    said = [float(line) for line in gpunn_("predict", "run", "far.csv")[1].splitlines()[1:]]
    exact = json.loads(gpunn_("predict", "run", "far.csv", "--json")[1])["predictions"]
    assert said == pytest.approx([row["prediction"] for row in exact], rel=0, abs=1e-4)
    with open("far.csv", encoding="utf-8") as file:
        actual = [float(row["y"]) for row in csv.DictReader(file)]
    worst = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["findings"]["mistakes"][0]
    row = int(worst["place"].removeprefix("row ")) - 1
    assert float(worst["true"].replace(",", "")) == pytest.approx(actual[row], rel=0, abs=1e-3)
    assert float(worst["predicted"].replace(",", "")) == pytest.approx(said[row], rel=0, abs=1e-3)


def test_columns_in_any_order_and_others_too(gpunn_, run_of_fruits):
    write("a.csv", "weight,colour,length\n150,red,8\n,?,18\n")
    write("b.csv", "taste,length,colour,kind,weight\nsweet,8,red,?,150\nsour,18,,?,\n")
    _, plain, _ = gpunn_("predict", run_of_fruits, "a.csv")
    code, out, err = gpunn_("predict", run_of_fruits, "b.csv")
    assert (code, out) == (0, plain)
    assert err == "gpunn: b.csv: columns that are ignored: taste\n"


def test_missing_columns_are_named(refused, run_of_fruits):
    write("a.csv", "Weight,colour\n150,red\n")
    refused(
        ["predict", run_of_fruits, "a.csv"],
        "a.csv lacks the columns 'weight', 'length'",
        "did you mean 'Weight'",
    )
    write("b.csv", "weight,colour,length\n1,red,2\n")
    refused(["evaluate", run_of_fruits, "b.csv"], "b.csv lacks the column 'kind'")


def test_a_model_of_tables_is_for_tables_alone(refused, run_of_fruits):
    refused(["demo", run_of_fruits, "--no-browser"], "picture")


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


def times(m=400, seed=0):
    """Within 100 seconds of a day in 2023; the second half of them is late."""
    rng = np.random.default_rng(seed)
    t, x = 1_700_000_000 + rng.uniform(0, 100, m), rng.normal(size=m)
    lines = [f"{a:.3f},{b:.3f},{'late' if a > 1_700_000_050 else 'early'}" for a, b in zip(t, x, strict=True)]
    return "t,x,y\n" + "\n".join(lines) + "\n"


def test_times_are_told_apart_by_fractions_of_a_second(trained, gpunn_):
    write("t.csv", times())
    result = trained("t.csv", "--target", "y", "--output", "run")
    assert result["test_accuracy"] > 0.97
    assert json.loads(gpunn_("evaluate", "run", "--json")[1])["accuracy"] == result["test_accuracy"]
    number = Network.load("run").meta["table"]["columns"][0]
    assert 1_700_000_045 < number["mean"] < 1_700_000_055 and 25 < number["scale"] < 33
    whole = gpunn_("predict", "run", "t.csv")[1].splitlines()
    lines = times().splitlines()
    write("one.csv", f"{lines[0]}\n{lines[7]}\n")
    assert gpunn_("predict", "run", "one.csv")[1].splitlines()[1].split(",")[0] == whole[7].split(",")[0]


def test_identifiers_that_differ_are_not_always_the_same(trained):
    write(
        "t.csv",
        "id,x,y\n" + "".join(f"{12345678901234000 + 2 * (i * 37 % 61)},{i % 7},{i % 2}\n" for i in range(80)),
    )
    assert trained("t.csv", "--target", "y", *QUICK)["network"] == "2-8-2"
    table = Network.load("gpunn-runs/t-1").meta["table"]
    assert table["dropped"] == {}


@pytest.mark.parametrize("target", ["y", "t"])
def test_an_onnx_file_tells_times_apart_too(gpunn_, trained, target):
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


def test_numbers_have_no_labels_in_the_graph(gpunn_, trained):
    pytest.importorskip("onnx")
    write("t.csv", times())
    asked = "--output-activation", "sigmoid", "--cost", "mae"
    trained("t.csv", "--target", "t", *asked, "--output", "run", *QUICK)
    code, out, _ = gpunn_("export", "run", "t.onnx", "--json")
    assert (code, json.loads(out)["outputs"]) == (0, {"prediction": "float64 (N, 1)"})


def test_columns_may_be_called_as_anything_in_the_graph(gpunn_, trained):
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


def test_unknown_categories_are_counted(gpunn_, run_of_fruits):
    write("a.csv", "weight,colour,length\n150,red,8\n150,blue,8\n150,grey,8\n")
    code, out, err = gpunn_("predict", run_of_fruits, "a.csv")
    assert (code, out.count("\n")) == (0, 4)
    assert err == "gpunn: values of categories that were not trained on: colour 2\n"


def test_bad_predictions_write_nothing(refused, run_of_fruits, gpunn_):
    write("a.csv", "weight,colour,length\n150,red,8\n15o,red,8\n")
    refused(["predict", run_of_fruits, "a.csv", "-o", "p.csv"], "line 3", "'weight'", "'15o'")
    write("b.csv", "weight,colour,length\n150,red,8\n")
    refused(["predict", run_of_fruits, "b.csv", "b.csv"], "one table at a time")
    refused(["predict", run_of_fruits, "b.csv", "-o", "no/where.csv"], "where.csv")
    refused(["predict", run_of_fruits, "picture.png"], "picture.png", ".csv")
    write("c.csv", "weight,colour,length,kind\n150,red,8,pear\n")
    refused(["evaluate", run_of_fruits, "c.csv"], "line 2", "pear", "apple, banana")


def test_evaluate_repeats_what_training_measured(gpunn_, run_of_fruits, trained):
    result = json.loads(gpunn_("evaluate", run_of_fruits, "--json")[1])
    meta = Network.load(run_of_fruits).meta
    assert result["accuracy"] == meta["test_accuracy"]
    assert np.sum(result["confusion_matrix"]) == result["examples"] == 24
    assert "confusion matrix" in gpunn_("evaluate", run_of_fruits)[1]
    write("q.csv", quantities())
    measured = trained("q.csv", "--target", "price", *QUICK)
    found = json.loads(gpunn_("evaluate", "gpunn-runs/q-1", "--json")[1])
    assert {name: found[name] for name in ("rmse", "mae", "r2")} == pytest.approx(
        {name: measured[f"test_{name}"] for name in ("rmse", "mae", "r2")}
    )
    assert re.search(
        r"60 examples\nRMSE [\d,.]+, MAE [\d,.]+, R² -?[\d.]+\n", gpunn_("evaluate", "gpunn-runs/q-1")[1]
    )
    out = gpunn_("predict", "gpunn-runs/q-1", "q.csv")[1]
    assert float(out.splitlines()[1]) > 1000


def test_a_file_in_another_order_has_no_held_out_rows(gpunn_, trained):
    header, *lines = quantities(100).splitlines()
    write("q.csv", "\n".join([header, *lines]))
    trained("q.csv", "--target", "price", "--output", "run", *QUICK)
    code, out, err = gpunn_("evaluate", "run", "--json")
    assert (code, err, json.loads(out)["examples"]) == (0, "", 20)
    write("q.csv", "\n".join([header, *sorted(lines)]))
    code, out, err = gpunn_("evaluate", "run", "--json")
    path = Path("q.csv").absolute()
    assert (code, json.loads(out)["dataset"], json.loads(out)["examples"]) == (0, str(path), 100)
    assert err == (
        f"gpunn: {path} has changed since it was trained on: no rows are held out, and all are tested on\n"
    )


def test_other_targets_beside_x_are_another_table(gpunn_, trained):
    X = np.random.default_rng(0).normal(size=(60, 2))
    np.save("X.npy", X)
    np.save("y.npy", X[:, 0] > 0)
    trained("X.npy", "--target", "y.npy", "--output", "run", *QUICK)
    assert gpunn_("evaluate", "run")[2] == ""
    np.save("y.npy", X[:, 1] > 0)
    assert "X.npy has changed since it was trained on" in gpunn_("evaluate", "run")[2]


def test_a_confusion_matrix_is_headed_by_the_classes(gpunn_, trained, monkeypatch):
    def matrix(classes):
        rows = [f"{i * 37 % 11 + i % 3},{classes[i % 3]}" for i in range(90)]
        write("t.csv", "x,y\n" + "\n".join(rows))
        trained("t.csv", "--target", "y", "--output", "run", *QUICK)
        lines = gpunn_("evaluate", "run")[1].splitlines()
        assert lines[3] == "confusion matrix (rows: true class, columns: predicted)"
        return [re.sub(r"( +\d+){3}$", "", line).strip() for line in lines[6:9]], lines[5].split()

    assert matrix(["3", "1", "2"]) == (["1", "2", "3"], ["1", "2", "3"])
    assert matrix(["b", "[c]", "a"]) == (["[c]", "a", "b"], ["[c]", "a", "b"])
    monkeypatch.setenv("COLUMNS", "60")
    long = ["1000000000000000", "2000000000000000", "3000000000000000"]
    assert matrix(long) == ([f"#{k} {name}" for k, name in enumerate(long, 1)], ["#1", "#2", "#3"])


def test_one_is_not_many(gpunn_, run_of_fruits):
    write("one.csv", "weight,colour,length,kind\n150,red,8,apple\n")
    assert gpunn_("evaluate", run_of_fruits, "one.csv")[1].splitlines()[0].endswith("one.csv, 1 example")


# what goes wrong


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("a,y\n", ["no rows"]),
        ("a,y\n1,0\n2,1\n3\n4,1\n", ["line 4: 1 value, but", "2 columns"]),
        ("a,y\n1,0\n\n2,1,1\n4,1\n", ["line 4", "3 values", "2 columns"]),
        ("a,b,a,y\n1,2,3,0\n", ["2 columns", "'a'"]),
        ("a,y\n1,0\ninf,1\n2,0\n3,1\n", ["line 3", "'a'", "inf", "finite"]),
        ("a,y\n1,0\n1e39,1\n2,0\n3,1\n", ["line 3", "'a'", "too large for float32"]),
        ("a,y\n1,0.5\n1,1e200\n2,0\n3,1\n", ["line 3", "'y'", "1e+200", "too large"]),
        ("a,y\n1,0\n2,\n3,1\n", ["line 3", "target", "missing"]),
        ('a,y\n"1\n1",0\n2,\n3,1\n', ["line 4", "target", "missing"]),
        ("a,y\n1,x\n2,x\n3,y\n4,x\n", ["line 4", "'y'", "1 example"]),
        ("a,y\n1,1\n2,1\n3,1\n", ["always 1"]),
        ("a,y\n5,1\n5,0\n5,1\n5,0\n", ["no column is left", "a (always 5)"]),
        ("a,y\n1,0\n", ["always 0"]),
        ("a;y\n1;0\n", []),
        ("a y\n1 0\n2 1\n", ["one column", "--delimiter"]),
        ("a,b\n1,2\n", ["unknown column 'y'", "a, b"]),
        ("a,Y\n1,2\n", ["did you mean 'Y'"]),
    ],
)  # fmt: skip
def test_a_bad_csv_is_one_line(refused, text, words):
    write("t.csv", text)
    refused(["train", "t.csv", "--target", "y"], "t.csv", *words)


def test_a_text_among_numbers_is_found_far_down(refused, trained):
    """In the first block, whose values decide the types, and beyond it."""
    lines = [f"{i * 7919 % 1000 / 8},{i % 2}" for i in range(100_000)]
    for m, row in ((2_000, 1_500), (100_000, 90_000)):
        some = lines[:m]
        some[row - 2] = "twelve,1"
        write("t.csv", "\n".join(["size,y", *some]))
        refused(
            ["train", "t.csv", "--target", "y"],
            f"line {row}, column 'size': 'twelve' is no number",
            "--category",
        )
    write(
        "t.csv", "\n".join(["y,size,x", *(f"{i % 2},{line[:-2]},{i * 7 % 9}" for i, line in enumerate(some))])
    )
    assert trained("t.csv", "--target", "y", "--ignore", "size", *QUICK)["network"] == "1-8-2"


def test_decimal_commas(gpunn_, refused):
    lines = [f"{i * 37 % 11},{i % 10};a,b;{'xy'[i % 2]}" for i in range(60)]
    write("t.csv", "\n".join(["size;two;y", *lines]))
    source = CsvFile(Path("t.csv"))
    assert source.kinds == {"size": NUMBER, "two": TEXT, "y": TEXT}
    assert read(source, {"size": NUMBER}, None, "float64").rows[1, 0] == 4.1
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    assert out.splitlines()[1] == "t.csv has decimal commas"
    lines[50] = "3,o;a,b;x"
    write("t.csv", "\n".join(["size;two;y", *lines]))
    refused(["train", "t.csv", "--target", "size"], "line 52", "'3,o'")


def test_tables_of_a_few_rows(trained, refused, gpunn_):
    write("t.csv", "a,y\n1,0.5\n2,1\n3,0\n4,1\n5,0\n")
    assert trained("t.csv", "--target", "a")["task"] == "regression"
    write("t.csv", "a,y\n1,0\n2,1\n3,0\n4,1\n")
    assert trained("t.csv", "--target", "y")["test_examples"] == 2
    code, _, err = gpunn_("train", "t.csv", "--target", "y", "--patience", 3)
    assert (code, "--patience" in err) == (2, True)
    write("t.csv", "a,y\n1,0\n2,1\n3,0\n4,1\n5,2\n6,1\n")
    refused(["train", "t.csv", "--target", "y"], "line 6", "1 example", "--task regression")


def test_not_utf8(refused):
    write("t.csv", "a,y\n1,x\n2,é\n", "latin-1")
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 3", "0xe9", "UTF-8")
    write("t.csv", "é,y\n1,x\n2,y\n", "latin-1")
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 1", "UTF-8")
    write("t.csv", "a,y\n1,x\n2,y\n", "utf-16")
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 1", "UTF-8")


@pytest.mark.parametrize("ends", [["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_and_line_ends_make_no_difference(ends, mark):
    lines = ["a,b,y", "1,x,0", '2,"x, z",1', ",?,1", "4,x,0"]
    text = mark + "".join(line + end for line, end in zip(lines, itertools.cycle(ends), strict=False))
    write("t.csv", text)
    source = CsvFile(Path("t.csv"))
    assert source.kinds == {"a": NUMBER, "b": TEXT, "y": NUMBER}
    table = read(source, source.kinds, "y", "float64")
    assert table.rows == pytest.approx(np.array([[1, 0], [2, 1], [np.nan, np.nan], [4, 0]]), nan_ok=True)
    assert list(table.columns[1].texts.codes) == ["x", "x, z"]
    assert table.y.tolist() == [0, 1, 1, 0]
    assert [table.place(row) for row in range(4)] == ["line 2", "line 3", "line 4", "line 5"]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("t.csv", ";"), ("t.tsv", "\t"), ("t.csv.gz", ","), ("t.csv", "|")]
)
def test_delimiters_are_sniffed(name, delimiter):
    text = 'a,"b,;",y\n1,"x,x,x",0\n2,z,1\n'
    text = text.replace(",y", f"{delimiter}y").replace("a,", f"a{delimiter}").replace("1,", f"1{delimiter}")
    text = text.replace(",0", f"{delimiter}0").replace("2,z,", f"2{delimiter}z{delimiter}")
    Path(name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert CsvFile(Path(name)).kinds == {"a": NUMBER, "b,;": TEXT, "y": NUMBER}


def test_what_cannot_be_unpacked_is_named(refused):
    write("t.csv.gz", "a,y\n1,0\n2,1\n")
    refused(["train", "t.csv.gz", "--target", "y"], "t.csv.gz cannot be unpacked: ")
    for m in (200, 200_000):  # in the first block, and beyond it
        whole = gzip.compress(("a,y\n" + "".join(f"{i * 7919 % 1000},{i % 2}\n" for i in range(m))).encode())
        Path("t.csv.gz").write_bytes(whole[: len(whole) * 9 // 10])
        refused(["train", "t.csv.gz", "--target", "y"], "t.csv.gz cannot be unpacked: ")


def test_long_numbers_are_classes_in_full(gpunn_, refused):
    write("t.csv", "x,y\n" + "".join(f"{i * 37 % 11},{1234567890123456 + i % 2}\n" for i in range(60)))
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    assert out.splitlines()[1].endswith("2 classes: 1234567890123456, 1234567890123457")
    write("t.csv", "x,y\n" + "".join(f"{i * 37 % 11},{12345678901234567 + i % 3}\n" for i in range(60)))
    refused(["train", "t.csv", "--target", "y"], "'y' has numbers too long", "--category 'y'")
    out = gpunn_("train", "t.csv", "--target", "y", "--category", "y", *QUICK)[1]
    assert "3 classes: 12345678901234567, 12345678901234568, 12345678901234569" in out


def test_a_delimiter_can_be_given(trained, refused, gpunn_):
    write("t.csv", "x:y,y\n" + "".join(f"{i * 37 % 11}:{i % 2},\n" for i in range(40)))
    refused(["train", "t.csv", "--target", "y"], "t.csv")
    write("t.csv", "x:y\n" + "".join(f"{i * 37 % 11}:{i % 2}\n" for i in range(40)))
    assert trained("t.csv", "--target", "y", "--delimiter", ":", *QUICK)["test_examples"] == 8
    refused(["train", "t.csv", "--target", "y", "--delimiter", "::"], "delimiter", "one ASCII character")


def test_columns_that_say_nothing_are_dropped_with_a_word(gpunn_):
    rows = [f"{i},{i * 37 % 11},5,name{i},,{i % 2}" for i in range(60)]
    write("t.csv", "id,x,five,who,void,y\n" + "\n".join(rows))
    code, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert code == 0
    assert out.splitlines()[2] == (
        "not used: id (counts the rows), five (always 5), who (48 different texts in 48 rows), void (empty)"
    )


def test_dates_are_told_from_other_texts(gpunn_):
    days = [f"{2000 + i},{i % 12 + 1:02d},{i % 28 + 1:02d}".split(",") for i in range(150)]
    rows = [f"{y}-{m}-{d}T10:00,{d}.{m}.{y},{y}-{m}-x,{y}{m}{d},{y}" for y, m, d in days]
    lines = [f"{i},{row},{'ab'[i % 2]}" for i, row in enumerate(rows)]
    write("t.csv", ",when,day,name,number,year,y\n" + "\n".join(lines))
    dropped = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1].splitlines()[2]
    dates = "more than 100 different dates; as numbers, such as days, they could be used"
    assert dropped == (
        f"not used: column 1 (counts the rows), when ({dates}), day ({dates}), "
        "name (more than 100 different texts)"
    )


def test_columns_can_be_ignored_or_taken_as_categories(trained, refused):
    write("t.csv", "zip,x,y\n" + "".join(f"{i % 3},{i * 37 % 11},{i % 2}\n" for i in range(60)))
    result = trained("t.csv", "--target", "y", "--category", "zip", "--ignore", "x", *QUICK)
    assert result["network"] == "3-8-2"
    refused(["train", "t.csv", "--target", "y", "--ignore", "zipp"], "did you mean 'zip'")
    refused(["train", "t.csv", "--target", "y", "--ignore", "y"], "'y' is the target")
    ignored = "--ignore", "x", "--ignore", "zip"
    refused(["train", "t.csv", "--target", "y", *ignored], "no column is left", "all but 'y' are ignored")


def test_options_of_images_and_of_tables(refused):
    write("t.csv", "x,y\n1,0\n2,1\n")
    for option in ("--shift", "--rotate", "--scale", "--elastic"):
        refused(["train", "t.csv", "--target", "y", option, "0.5"], option, "images", "t.csv")
    refused(["train", "t.csv", "--target", "y", "--data-dir", "."], "--data-dir")
    refused(["train", "digits", "--target", "y"], "--target", "tables", "digits")
    refused(["train", "digits", "--no-header"], "--header", "digits")
    refused(["train", "t.csv"], "--target NAME", "x, y")
    refused(["train", "t.csv", "--target", "y", "--cv", "3", "--test", "t.csv"], "--test", "--cv", "exclude")
    refused(["train", "t.csv", "--target", "y", "--held-out", "1"], "--held-out")
    write("many.csv", "x,y\n" + "".join(f"{i / 7},{i % 2}\n" for i in range(60)))
    most = "--held-out", "0.999"
    refused(["train", "many.csv", "--target", "x", *most], "--held-out leaves 0 rows to train on")
    refused(["train", "many.csv", "--target", "y", *most], "--held-out leaves no example of class '0'")
    refused(["train", "t.csv", "--target", "y", "--impute", "mode"], "unknown imputation 'mode'")
    refused(["train", "t.csv", "--target", "y.npy"], "t.csv", "unknown column 'y.npy'", "x, y")
    refused(["train", "nowhere.csv", "--target", "y"], "nowhere.csv does not exist")


def test_what_to_install_where_pyarrow_is_missing(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    write("t.csv", "x,y\n1,0\n")
    refused(["train", "t.csv", "--target", "y"], "t.csv", 'pip install "gpunn[tables]"')


# other kinds of files


def columns_of_fruits(m=60):
    rows = list(csv.DictReader(fruits(m).splitlines()))
    return {
        "weight": [float(row["weight"]) if row["weight"] else None for row in rows],
        "colour": [row["colour"] or None for row in rows],
        "length": [float(row["length"]) for row in rows],
        "kind": [row["kind"] for row in rows],
    }


def test_parquet_is_read_as_the_same_csv_is(trained, refused):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns_of_fruits())
    pyarrow.parquet.write_table(table, "p.parquet", row_group_size=7)
    write("c.csv", fruits(60))
    for name in ("p.parquet", "c.csv"):
        trained(name, "--target", "kind", *QUICK, "--output", name[0])
    p, c = Network.load("p"), Network.load("c")
    assert np.array_equal(p.theta, c.theta)
    assert p.meta["table"]["columns"] == c.meta["table"]["columns"]
    pyarrow.parquet.write_table(table.append_column("list", pyarrow.array([[1]] * 60)), "l.parquet")
    refused(["train", "l.parquet", "--target", "kind"], "l.parquet", "'list'")
    pyarrow.parquet.write_table(table.slice(0, 0), "e.parquet")
    refused(["train", "e.parquet", "--target", "kind"], "e.parquet has no rows")
    write("d.parquet", "no parquet at all")
    refused(["train", "d.parquet", "--target", "kind"], "d.parquet", "not a readable Parquet")
    refused(["train", "p.parquet", "--target", "colour"], "row 6", "'colour' is missing")


def test_truth_values_are_the_same_in_every_file(gpunn_, trained):
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    x, b = rng.normal(size=60), rng.random(60) > 0.5
    y = b ^ (x > 1)
    write("a.csv", "x,b,y\n" + "".join(f"{x[i]},{b[i]},{y[i]}\n" for i in range(60)))
    write("R.csv", Path("a.csv").read_text().replace("True", "TRUE").replace("False", "FALSE"))
    write("sql.csv", Path("a.csv").read_text().lower())
    pyarrow.parquet.write_table(pyarrow.table({"x": x, "b": b, "y": y}), "a.parquet")
    np.savez("a.npz", x=x, b=b, y=y)
    trained("a.csv", "--target", "y", "--output", "run", *QUICK)
    results = []
    for name in ("a.csv", "R.csv", "sql.csv", "a.parquet", "a.npz"):
        code, out, err = gpunn_("evaluate", "run", name, "--json")
        assert (code, err) == (0, "")
        results.append({**json.loads(out), "dataset": None})
    assert all(result == results[0] for result in results)


def test_npz_and_npy(trained, gpunn_, refused):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = np.where(X[:, 0] > 0, "up", "down")
    np.savez("a.npz", X=X, y=y)
    np.savez("b.npz", first=X[:, 0], second=X[:, 1], third=X[:, 2], way=y)
    np.save("X.npy", X.astype(np.float32))
    np.save("y.npy", y)
    nets = []
    for name, target in (("a.npz", []), ("b.npz", ["--target", "way"]), ("X.npy", ["--target", "y.npy"])):
        result = trained(name, *target, "--device", "cpu", "--precision", "float32", "--output", name[0])
        assert result["test_accuracy"] > 0.8
        nets.append(Network.load(name[0]))
    assert np.array_equal(nets[0].theta, nets[1].theta)
    assert np.allclose(nets[0].theta, nets[2].theta, atol=1e-3)
    assert nets[0].meta["table"]["columns"][0]["name"] == "X1"
    whole = ["evaluate", "X", "X.npy", "--target", "y.npy"]
    assert gpunn_("evaluate", "X")[0] == gpunn_(*whole)[0] == 0
    refused(whole[:3], "X.npy lacks the column 'y'")
    refused(["evaluate", "a", "a.npz", "--target", "y.npy"], "y.npy", "a.npz is none")
    assert gpunn_("predict", "X", "X.npy")[1].count("\n") == 91
    assert gpunn_("predict", "a", "X.npy")[0] == 0
    np.save("Xt.npy", X.T)
    refused(["train", "Xt.npy", "--target", "y.npy"], "transpose")
    refused(["train", "X.npy"], "--target y.npy")
    np.savez("c.npz", X=X, y=y[:-1])
    refused(["train", "c.npz"], "c.npz", "(90, 3)", "(89,)")
    for clashing in ({"X": X, "X1": y}, {"X1": y, "X": X}):
        np.savez("c.npz", **clashing)
        refused(["train", "c.npz", "--target", "X1"], "c.npz", "'X1'", "rename")
    np.savez("o.npz", X=X, y=np.array([{}] * 90, object))
    refused(["train", "o.npz"], "o.npz")
    write("t.npz", "nothing")
    refused(["train", "t.npz"], "t.npz")
    write("t.npy", "nothing")
    refused(["train", "t.npy", "--target", "y.npy"], "t.npy")
    np.save("i.npy", np.where(X > 2, np.inf, X))
    refused(["train", "i.npy", "--target", "y.npy"], "row ", "finite")


def test_no_header_is_noticed_and_remembered(gpunn_, trained):
    write("n.csv", "".join(f"{i * 37 % 11},{i * 5 % 7},{i % 2}\n" for i in range(60)))
    code, out, _ = gpunn_("train", "n.csv", "--target", "3", *QUICK)
    assert code == 0
    assert "n.csv has no header: its columns are called 1 to 3" in out.splitlines()
    write("x.csv", "a,1,u\n" + "".join(f"{'ab'[i % 2]},{i * 37 % 11},{'uv'[i % 2]}\n" for i in range(59)))
    assert "then --no-header" in gpunn_("train", "x.csv", "--target", "3")[2]
    trained("x.csv", "--target", "3", "--no-header", *QUICK)
    assert gpunn_("predict", "gpunn-runs/x-1", "x.csv")[1].count("\n") == 61
    assert gpunn_("evaluate", "gpunn-runs/x-1")[0] == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_reading_takes_less_than_twice_the_memory_of_the_numbers(tmp_path):
    """By how much the peak grows from one file to another: the libraries' own memory is the same."""
    code = """
import sys
from pathlib import Path
from gpunn.tables.loading import TableOptions, load, pose
from gpunn.tables.problem import Preparation
options = TableOptions(target="y")
pose(*load(Path(sys.argv[1]), options, "float32"), options, 0, Preparation.of())
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    rng, peaks, sizes = np.random.default_rng(0), [], (400_000, 1_600_000)
    block = "".join(",".join(map(str, row)) + "\n" for row in rng.integers(0, 10, (1000, 20)))
    for m in sizes:
        with open("t.csv", "w", encoding="utf-8") as file:
            file.write(",".join([*(f"x{j}" for j in range(19)), "y"]) + "\n")
            file.writelines(itertools.repeat(block, m // 1000))
        command, environment = [sys.executable, "-c", code, "t.csv"], os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, check=True, capture_output=True, env=environment)
        peaks.append(1024 * int(done.stdout))
    assert (peaks[1] - peaks[0]) / (4 * 20 * (sizes[1] - sizes[0])) < 2


def test_a_model_file_holds_its_preprocessing_as_json(run_of_fruits):
    kept = Network.load(run_of_fruits).meta["table"]
    assert [column["name"] for column in kept["columns"]] == ["weight", "colour", "length"]
    assert kept["columns"][1]["categories"] == ["green", "red", "yellow", None]
    assert kept["target"] == {
        "task": "classification", "name": "kind", "kind": "text", "classes": ["apple", "banana"]
    }  # fmt: skip
    source = run_of_fruits.parent / "fruits.csv"
    table, extra = read_known(Preprocessing.from_json(kept), None, source, Format(), "float32")
    assert extra == ["kind"]
    assert table.y is None
