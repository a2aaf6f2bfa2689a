"""Missing values: words for them, rows without a target, and strings that are not missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, decided, write

import gpunn
from gpunn import Network

pytest.importorskip("pyarrow")


def with_word(word, m=100, distinct=100):
    rows = (f"{word if i % 10 == 4 else i % distinct},{i % 2},{'np'[i % 3 > 0]}\n" for i in range(m))
    return "x,z,y\n" + "".join(rows)


@pytest.mark.parametrize("word", [".", "None", "-", "missing"])
def test_a_word_among_numbers_is_told_by_column_and_line(refused, trained, word):
    write("t.csv", with_word(word))
    arguments = ["train", "t.csv", "--target", "y", *QUICK]
    refused(arguments, f"t.csv, line 6, column 'x': '{word}' is not a number", f"--missing '{word}'")
    trained("t.csv", "--target", "y", *QUICK, "--missing", word, "--missing", "other", "--output", "run")
    table = Network.load("run").meta["table"]
    assert table["options"]["missing"] == [word, "other"]
    assert [column["name"] for column in table["columns"] if "mean" in column] == ["x", "z"]


def test_a_question_mark_is_missing_without_an_option(gpunn_):
    write("t.csv", with_word("?"))
    assert "2 numeric columns, 10 missing values" in gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]


def test_few_numbers_with_a_word_become_categories_with_a_word(gpunn_):
    write("t.csv", with_word("-", distinct=5))
    code, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert code == 0
    remark = "column 'x' is read as strings: line 6 has '-' among numbers; --missing '-' takes it"
    assert remark in out
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK, "--missing", "-")[1]
    assert remark not in out
    assert "t.csv: 100 rows, 2 numeric columns, 10 missing values" in out


def test_predictions_know_the_words_of_training(trained, gpunn_):
    write("t.csv", with_word("-"))
    trained("t.csv", "--target", "y", *QUICK, "--missing", "-", "--output", "run")
    write("p.csv", "x,z\n-,1\n5,0\n")
    write("q.csv", "x,z\n,1\n5,0\n")
    assert gpunn_("predict", "run", "p.csv") == gpunn_("predict", "run", "q.csv")


def test_a_word_is_missing_in_categories_and_in_memory():
    data = {"colour": ["red", "none", "blue", "red"] * 10, "y": [0, 1, 1, 0] * 10}
    model = gpunn.tables.train(data, missing="none", epochs=1, device="cpu")
    assert model.preprocessing.columns[0].categories == ("blue", "red", None)
    assert model.options.missing == ("none",)


def test_rows_without_a_target_are_left_out(gpunn_):
    rows = [f"{i},{i * 5 % 7},{'' if i % 50 == 7 else i * 2.5}\n" for i in range(200)]
    write("t.csv", "a,b,y\n" + "".join(rows))
    code, out, err = gpunn_("train", "t.csv", "--target", "y", *QUICK, "--output", "run")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [
        "t.csv: 196 rows, 2 numeric columns",
        "t.csv: left out 4 rows without the target 'y': line 9, line 59, line 109, line 159",
    ]
    trained_on = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["result"]
    code, out, err = gpunn_("evaluate", "run", "--json")
    assert (
        err.startswith("gpunn: t.csv: left out 4 rows without the target 'y'") or "/t.csv: left out 4" in err
    )
    assert (code, json.loads(out)["rmse"]) == (0, pytest.approx(trained_on["test_rmse"]))
    code, out, _ = gpunn_("evaluate", "run", "t.csv", "--json")
    assert json.loads(out)["examples"] == 196


def test_rows_of_a_test_table_without_a_target_are_told(gpunn_):
    rows = [f"{i},{i * 5 % 7},{i * 2.5}\n" for i in range(60)]
    write("t.csv", "a,b,y\n" + "".join(rows))
    write("u.csv", "a,b,y\n1,2,3\n1,2,\n2,3,4\n")
    code, out, _ = gpunn_("train", "t.csv", "--target", "y", "--test", "u.csv", *QUICK)
    assert code == 0
    assert "u.csv: left out 1 row without the target 'y': line 3" in out


def test_the_other_rows_train_as_without_the_gaps(trained):
    rows = [f"{i},{i * 5 % 7},{'' if i % 50 == 7 else i % 3}\n" for i in range(200)]
    write("gaps.csv", "a,b,y\n" + "".join(rows))
    write("full.csv", "a,b,y\n" + "".join(row for row in rows if not row.endswith(",\n")))
    for name in ("gaps", "full"):
        trained(f"{name}.csv", "--target", "y", *QUICK, "--output", name)
    assert np.array_equal(Network.load("gaps").theta, Network.load("full").theta)


def test_mistakes_name_rows_of_the_file(trained):
    rows = [f"{i % 2},{'' if i < 30 else 'np'[i % 2]}\n" for i in range(99)] + ["0,p\n"]
    write("t.csv", "a,y\n" + "".join(rows))
    trained("t.csv", "--target", "y", "--held-out", "0.9", *QUICK, "--output", "run")
    places = [
        m["place"]
        for m in json.loads(Path("run/run.json").read_text(encoding="utf-8"))["findings"]["mistakes"]
    ]
    assert places
    assert all(int(place.removeprefix("row ")) > 30 for place in places)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (lambda i: ("1/13/{}", "13/1/{}")[i % 2].format(1000 + i), "more than 100 distinct dates"),
        (lambda i: f"comment number {i}", "different in every row"),
    ],
)
def test_dates_and_free_text_are_not_missing_values(gpunn_, value, why):
    write("t.csv", "a,when,y\n" + "".join(f"{i % 7},{value(i)},{'np'[i % 2]}\n" for i in range(2500)))
    code, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert code == 0
    assert out.splitlines()[0] == "t.csv: 2,500 rows, 1 numeric column"
    assert decided(out)["when"].startswith(f"left out: {why}")
