"""`gpunn train` on tables: the task, the columns, the test and what a run keeps."""

from __future__ import annotations

import csv
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
from reporting import without_epochs
from tabular import QUICK, amounts, decided, fruits, not_used, quantities, times, write

from gpunn import Network
from gpunn.tables.loading import load
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import read_for
from gpunn.tables.preprocessing import BINS, Preprocessing
from gpunn.tables.reading import Format, open_table
from gpunn.training.splitting import sample_each_class

pytest.importorskip("pyarrow")

ROOT = Path(__file__).parents[2]


def test_classification_is_detected_described_and_learnt(gpunn_):
    write("fruits.csv", fruits())
    code, out, err = gpunn_("train", "fruits.csv", "--target", "kind", "--device", "cpu", "--ensemble", 1)
    assert (code, err) == (0, "")
    lines = without_epochs(out)
    assert lines[0] == "fruits.csv: 120 rows, 2 numeric columns, 1 categorical column, 12 missing values"
    assert lines[1] == "target 'kind': classification, 2 classes: apple, banana"
    assert decided(out) == {
        "weight": f"scaled, {BINS} codes, missing flagged",
        "colour": "one-hot, 4 inputs",
        "length": f"scaled, {BINS} codes",
        "kind": "the target",
    }
    lines = lines[
        lines.index("fruits.csv, 96 examples: 31-256-256-2, 74,498 parameters, adamw, on cpu") + 2 :
    ]
    assert re.match(r"test accuracy [\d.]+% \(baseline accuracy 50.00%\), (stopped early after )?", lines[0])
    assert lines[1].startswith("balanced accuracy ") and "ROC AUC" in lines[1] and "Brier score" in lines[1]
    assert lines[2].startswith("most important columns (loss of ROC AUC if shuffled): length 0.")
    assert lines[3] == "report gpunn-runs/fruits-1/report.html"
    assert lines[4] == "saved gpunn-runs/fruits-1/model.safetensors; now try"
    for line in lines[5:]:
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
    assert result["baseline"] == {"accuracy": 0.5, "balanced_accuracy": 0.5}
    assert result["settings"]["optimizer"] == "adamw"
    assert Network.load("gpunn-runs/fruits-1").meta["test_accuracy"] == result["test_accuracy"]


def test_regression_is_measured_in_the_targets_units(trained):
    write("q.csv", quantities())
    result = trained("q.csv", "--target", "price")
    assert result["task"] == "regression"
    assert result["test_r2"] > 0.95 > 0.1 > result["baseline"]["r2"]
    assert 10 < result["test_rmse"] < result["baseline"]["rmse"] / 4
    assert 1000 < result["baseline"]["rmse"] < 2500
    assert result["settings"]["cost"] == "quadratic"


@pytest.mark.parametrize("f", ["exp", "softplus"])
def test_a_positive_target_is_scaled_but_not_shifted(trained, f):
    write("t.csv", amounts())
    result = trained("t.csv", "--target", "amount", "--output-activation", f, "--output", "run")
    assert result["settings"]["cost"] == {"exp": "poisson", "softplus": "quadratic"}[f]
    assert result["test_r2"] > 0.9
    target = Network.load("run").meta["table"]["target"]
    assert target["mean"] == 0 and 1e4 < target["scale"] < 1.5e4


def test_a_target_within_a_bounded_output_is_not_rescaled(trained, refused):
    lines = amounts().splitlines()[1:]
    shares = [f"{line.rpartition(',')[0]},{i % 101 / 100}" for i, line in enumerate(lines)]
    write("t.csv", "\n".join(["a,b,share", *shares]))
    sigmoid = "--output-activation", "sigmoid"
    trained("t.csv", "--target", "share", *sigmoid, "--output", "run", *QUICK)
    target = Network.load("run").meta["table"]["target"]
    assert (target["mean"], target["scale"]) == (0, 1)
    write("t.csv", amounts())
    refused(["train", "t.csv", "--target", "amount", *sigmoid], "t.csv, line 2", "'amount' is ", "above 1")
    refused(["train", "t.csv", "--target", "a", "--cost", "poisson"], "'a' is -", "takes no number below 0")
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


def test_the_task_can_be_chosen(trained, refused):
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
    lines = without_epochs(out)
    lines = lines[next(k for k, line in enumerate(lines) if line.startswith("fold 1:")) :]
    for n, line in enumerate(lines[:3], start=1):
        assert re.fullmatch(fold.format(n), line)
    assert re.match(r"3 folds: accuracy [\d.]+% ± [\d.]+% \(baseline accuracy 50.00%\); trained", lines[3])
    result = trained(*arguments)
    accuracies = [fold["accuracy"] for fold in result["cv"]["folds"]]
    assert result["cv"]["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["cv"]["std"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert "test_accuracy" not in result


def test_a_test_file_replaces_the_held_out_rows(trained, gpunn_):
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
    assert re.fullmatch(
        r"gpunn: values of categories that were not in the training data: colour \d+ \('blue'\)\n", err
    )


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


def test_held_out_rows_do_not_affect_what_is_fitted(trained):
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


def test_wheat_seeds(gpunn_, tmp_path):
    folder = Path(os.environ.get("GPUNN_DATA", ""))
    if not (folder / "wheat-seeds.csv").is_file():
        pytest.skip("wheat-seeds.csv is missing: set GPUNN_DATA to the folder that holds it")
    (tmp_path / "wheat-seeds.csv").write_bytes((folder / "wheat-seeds.csv").read_bytes())
    printed = []
    for command in (
        "train wheat-seeds.csv --target 8 --ensemble 1",
        "train wheat-seeds.csv --target 8 --cv 5 --ensemble 1",
        "predict gpunn-runs/wheat-seeds-1 wheat-seeds.csv -o predictions.csv",
        "evaluate gpunn-runs/wheat-seeds-1",
    ):
        code, out, err = gpunn_(*shlex.split(command))
        assert (code, err) == (0, not_used("8") if command.startswith("predict") else "")
        printed.append(without_epochs(out))
    assert printed[0][:3] == [
        "wheat-seeds.csv: 210 rows, 7 numeric columns",
        "wheat-seeds.csv has no header: its first line, '15.26,14.84,0.871,5.763,…', is data, and its "
        "columns are named 1 to 8; use --header if the line names them",
        "target '8': classification, 3 classes: 1, 2, 3",
    ]
    assert any(line.startswith("5 folds: accuracy 9") for line in printed[1])
    assert re.match("accuracy [89]", printed[3][1])
    with open("predictions.csv", encoding="utf-8") as file:
        predicted = [row["prediction"] for row in csv.DictReader(file)]
    truth = [line.rpartition(",")[2] for line in Path("wheat-seeds.csv").read_text().splitlines()]
    assert np.mean([a == b for a, b in zip(predicted, truth, strict=True)]) > 0.9


def test_unix_times_keep_their_fractions_of_a_second(trained, gpunn_):
    write("t.csv", times())
    result = trained("t.csv", "--target", "y", "--output", "run")
    assert result["test_accuracy"] > 0.97
    assert json.loads(gpunn_("evaluate", "run", "--json")[1])["accuracy"] == result["test_accuracy"]
    number = Network.load("run").meta["table"]["columns"][0]
    assert 1_700_000_040 < number["mean"] < 1_700_000_060 and 40 < number["scale"] < 60
    whole = gpunn_("predict", "run", "t.csv")[1].splitlines()
    lines = times().splitlines()
    write("one.csv", f"{lines[0]}\n{lines[7]}\n")
    assert gpunn_("predict", "run", "one.csv")[1].splitlines()[1].split(",")[0] == whole[7].split(",")[0]


def test_long_identifiers_are_not_constant(trained):
    write(
        "t.csv",
        "id,x,y\n" + "".join(f"{12345678901234000 + 2 * (i * 37 % 61)},{i % 7},{i % 2}\n" for i in range(80)),
    )
    assert trained("t.csv", "--target", "y", *QUICK)["network"] == "20-8-2"
    table = Network.load("gpunn-runs/t-1").meta["table"]
    assert table["dropped"] == {}


def test_uninformative_columns_are_dropped_with_a_reason(gpunn_):
    rows = [f"{i},{i * 37 % 11},5,name{i},,{i % 2}" for i in range(60)]
    write("t.csv", "id,x,five,who,void,y\n" + "\n".join(rows))
    code, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert code == 0
    use = decided(out)
    assert (use["id"], use["five"], use["void"]) == (
        "left out: counts the rows",
        "left out: always 5",
        "left out: empty",
    )
    assert use["who"] == "left out: different in every row, like an identifier or free text"
    assert use["y"] == "the target"


def test_dates_are_distinguished_from_other_strings(gpunn_):
    days = [f"{2000 + i},{i % 12 + 1:02d},{i % 28 + 1:02d}".split(",") for i in range(150)]
    rows = [f"{y}-{m}-{d}T10:00,{d}.{m}.{y},{y}-{m}-x,{y}{m}{d},{y}" for y, m, d in days]
    lines = [f"{i},{row},{'ab'[i % 2]}" for i, row in enumerate(rows)]
    write("t.csv", ",when,day,name,number,year,y\n" + "\n".join(lines))
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    read, use = out.splitlines()[1], decided(out)
    assert read == (
        "t.csv has dates, read as numbers: when ('2000-01-01T10:00' is 2000-01-01: year, month, weekday, "
        "hour, days), day ('01.01.2000' is 2000-01-01: year, month, weekday, days)"
    )
    assert use["column 1"] == "left out: counts the rows"
    assert use["when"] == "year, month, weekday, days"  # the hour is always 10
    assert use["name"].startswith("left out: different in every row")


def test_columns_can_be_ignored_or_treated_as_categories(trained, refused):
    write("t.csv", "zip,x,y\n" + "".join(f"{i % 3},{i * 37 % 11},{i % 2}\n" for i in range(60)))
    result = trained("t.csv", "--target", "y", "--categorical", "zip", "--drop", "x", *QUICK)
    assert result["network"] == "3-8-2"
    refused(["train", "t.csv", "--target", "y", "--drop", "zipp"], "did you mean 'zip'")
    refused(["train", "t.csv", "--target", "y", "--drop", "y"], "'y' is the target")
    ignored = "--drop", "x", "--drop", "zip"
    refused(["train", "t.csv", "--target", "y", *ignored], "no column is left", "all but 'y' are dropped")


def test_tiny_tables(trained, refused, gpunn_):
    write("t.csv", "a,y\n1,0.5\n2,1\n3,0\n4,1\n5,0\n")
    assert trained("t.csv", "--target", "a")["task"] == "regression"
    write("t.csv", "a,y\n1,0\n2,1\n3,0\n4,1\n")
    assert trained("t.csv", "--target", "y")["test_examples"] == 2
    code, _, err = gpunn_("train", "t.csv", "--target", "y", "--patience", 3)
    assert (code, "--patience" in err) == (2, True)
    write("t.csv", "a,y\n1,0\n2,1\n3,0\n4,1\n5,2\n6,1\n")
    refused(["train", "t.csv", "--target", "y"], "line 6", "1 example", "--task regression")


def test_long_class_numbers_keep_all_digits(gpunn_, refused):
    write("t.csv", "x,y\n" + "".join(f"{i * 37 % 11},{1234567890123456 + i % 2}\n" for i in range(60)))
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    assert out.splitlines()[1].endswith("2 classes: 1234567890123456, 1234567890123457")
    write("t.csv", "x,y\n" + "".join(f"{i * 37 % 11},{12345678901234567 + i % 3}\n" for i in range(60)))
    refused(["train", "t.csv", "--target", "y"], "'y' has numbers too long", "--categorical 'y'")
    out = gpunn_("train", "t.csv", "--target", "y", "--categorical", "y", *QUICK)[1]
    assert "3 classes: 12345678901234567, 12345678901234568, 12345678901234569" in out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_reading_takes_less_than_twice_the_memory_of_the_numbers(tmp_path):
    """Compare the peaks of two files, because the libraries need memory of their own."""
    code = """
import sys
from pathlib import Path
from gpunn.tables.loading import load
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import Preparation
from gpunn.tables.splitting import split_and_prepare
options = TableOptions(target="y")
split_and_prepare(*load(Path(sys.argv[1]), options, "float32"), options, 0, Preparation.of())
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    rng, peaks, sizes = np.random.default_rng(0), [], (400_000, 1_600_000)
    block = "".join(",".join(map(str, row)) + "\n" for row in rng.integers(0, 2, (1000, 20)))
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
    target = kept["target"]
    assert (target["task"], target["name"], target["kind"]) == ("classification", "kind", "text")
    assert target["classes"] == ["apple", "banana"]
    source = open_table(run_of_fruits.parent / "fruits.csv", Format())
    table = read_for(Preprocessing.from_json(kept), None, source, "float32")
    assert [column.name for column in table.columns] == ["weight", "colour", "length"]
    assert table.y is None
