"""`gpunn predict` and `gpunn evaluate` with models of tables."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, not_used, quantities, write

from gpunn import Network, tables

pytest.importorskip("pyarrow")


def test_predictions_are_a_csv(gpunn_, run_of_fruits):
    data = run_of_fruits.parent / "fruits.csv"
    code, out, err = gpunn_("predict", run_of_fruits, data)
    assert (code, err) == (0, not_used("kind"))
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 120
    assert {row["prediction"] for row in rows} == {"apple", "banana"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    truth = [line.rpartition(",")[2] for line in data.read_text().splitlines()[1:]]
    assert np.mean([row["prediction"] == kind for row, kind in zip(rows, truth, strict=True)]) > 0.9
    assert gpunn_("predict", run_of_fruits, data, "-o", "p.csv") == (0, "", not_used("kind"))
    assert Path("p.csv").read_text() == out
    found = json.loads(gpunn_("predict", run_of_fruits, data, "--json")[1])["predictions"]
    assert [p["prediction"] for p in found] == [row["prediction"] for row in rows]


def test_every_class_has_a_probability_with_the_digits_to_rank_by(gpunn_, run_of_fruits):
    data = run_of_fruits.parent / "fruits.csv"
    rows = list(csv.DictReader(gpunn_("predict", run_of_fruits, data)[1].splitlines()))
    p = tables.load_model(run_of_fruits).predict_proba(data)
    for k, name in enumerate(("apple", "banana")):
        assert np.array_equal([np.float32(row[f"P({name})"]) for row in rows], p[:, k])
    found = json.loads(gpunn_("predict", run_of_fruits, data, "--json")[1])["predictions"]
    assert [each["probabilities"]["banana"] for each in found] == [float(row["P(banana)"]) for row in rows]


def test_predictions_far_from_0_keep_enough_digits(gpunn_, trained):
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


def test_columns_in_any_order_with_further_columns(gpunn_, run_of_fruits):
    write("a.csv", "weight,colour,length\n150,red,8\n,?,18\n")
    write("b.csv", "taste,length,colour,kind,weight\nsweet,8,red,?,150\nsour,18,,?,\n")
    _, plain, _ = gpunn_("predict", run_of_fruits, "a.csv")
    code, out, err = gpunn_("predict", run_of_fruits, "b.csv")
    assert (code, out) == (0, plain)
    assert err == f"gpunn: b.csv: ignored columns: taste\n{not_used('kind')}"
    names = ",".join(f"x{k}" for k in range(20))
    write("c.csv", f"weight,colour,length,{names}\n150,red,8{',1' * 20}\n")
    _, _, err = gpunn_("predict", run_of_fruits, "c.csv")
    assert err == "gpunn: c.csv: ignored columns: x0, x1, x2, x3, x4, x5, x6, x7, … (20 in all)\n"


def test_missing_columns_are_named(refused, run_of_fruits):
    write("a.csv", "Weight,colour\n150,red\n")
    refused(
        ["predict", run_of_fruits, "a.csv"],
        "a.csv lacks the columns 'weight', 'length'",
        "did you mean 'Weight'",
    )
    write("b.csv", "weight,colour,length\n1,red,2\n")
    refused(["evaluate", run_of_fruits, "b.csv"], "b.csv lacks the column 'kind'\n")
    write("c.csv", "weight,colour\n1,red\n")
    words = "c.csv lacks the column 'length'; add it, without values if they are unknown\n"
    refused(["predict", run_of_fruits, "c.csv"], words)


def test_values_may_be_missing_where_none_were_in_training(gpunn_, trained):
    write("t.csv", "a,b,y\n" + "".join(f"{i % 7},{'uv'[i % 2]},{'np'[i % 2]}\n" for i in range(60)))
    trained("t.csv", "--target", "y", *QUICK, "--output", "run")
    write("blank.csv", "a,b\n1,\n2,\n")
    code, out, err = gpunn_("predict", "run", "blank.csv")
    assert (code, out.count("\n")) == (0, 3)
    assert err == "gpunn: values of categories that were not in the training data: b 2 (missing)\n"


def test_the_demo_refuses_a_model_of_a_table(refused, run_of_fruits):
    refused(["demo", run_of_fruits, "--no-browser"], "size of image")


def test_unknown_categories_are_counted_and_named(gpunn_, run_of_fruits):
    told = "gpunn: values of categories that were not in the training data: colour"
    write("a.csv", "weight,colour,length\n150,red,8\n150,blue,8\n150,grey,8\n")
    code, out, err = gpunn_("predict", run_of_fruits, "a.csv")
    assert (code, out.count("\n")) == (0, 4)
    assert err == f"{told} 2 ('blue', 'grey')\n"
    write("b.csv", "weight,colour,length\n" + "".join(f"150,c{k},8\n" for k in range(5)))
    assert gpunn_("predict", run_of_fruits, "b.csv")[2] == f"{told} 5 ('c0', 'c1', 'c2', … (5 in all))\n"


def test_a_failed_prediction_writes_nothing(refused, run_of_fruits, gpunn_):
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


def test_a_reordered_file_has_no_known_held_out_rows(gpunn_, trained):
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
        f"gpunn: {path} has changed since training: its held-out rows are unknown, "
        "so all rows are evaluated\n"
    )


def test_other_npy_targets_make_another_table(gpunn_, trained):
    X = np.random.default_rng(0).normal(size=(60, 2))
    np.save("X.npy", X)
    np.save("y.npy", X[:, 0] > 0)
    trained("X.npy", "--target", "y.npy", "--output", "run", *QUICK)
    assert gpunn_("evaluate", "run")[2] == ""
    np.save("y.npy", X[:, 1] > 0)
    assert "X.npy with " in gpunn_("evaluate", "run")[2]
    assert "y.npy has changed since training" in gpunn_("evaluate", "run")[2]


def test_a_confusion_matrix_names_the_classes(gpunn_, trained, monkeypatch):
    def matrix(classes):
        rows = [f"{i * 37 % 11 + i % 3},{classes[i % 3]}" for i in range(90)]
        write("t.csv", "x,y\n" + "\n".join(rows))
        trained("t.csv", "--target", "y", "--output", "run", "--overwrite", *QUICK)
        lines = gpunn_("evaluate", "run")[1].splitlines()
        lines = lines[lines.index("confusion matrix (rows: true class, columns: predicted)") :]
        return [re.sub(r"( +\d+){3}$", "", line).strip() for line in lines[3:6]], lines[2].split()

    assert matrix(["3", "1", "2"]) == (["1", "2", "3"], ["1", "2", "3"])
    assert matrix(["b", "[c]", "a"]) == (["[c]", "a", "b"], ["[c]", "a", "b"])
    monkeypatch.setenv("COLUMNS", "60")
    long = ["1000000000000000", "2000000000000000", "3000000000000000"]
    assert matrix(long) == ([f"#{k} {name}" for k, name in enumerate(long, 1)], ["#1", "#2", "#3"])


def test_one_example_is_singular(gpunn_, run_of_fruits):
    write("one.csv", "weight,colour,length,kind\n150,red,8,apple\n")
    assert gpunn_("evaluate", run_of_fruits, "one.csv")[1].splitlines()[0].endswith("one.csv, 1 example")
