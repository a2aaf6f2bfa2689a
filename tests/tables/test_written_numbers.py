"""Numbers as people write them are read as numbers, with a word, in features and as a target."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tabular import QUICK, write

import gpunn
from gpunn import Network
from gpunn.tables.spelling import Evidence, Spelling

pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,200", 1200), ("1,234,567.5", 1234567.5), ("12,34,567", 1234567), ("(1,200)", -1200), ("+7", 7),
        ("\u22125", -5), ("1 200", 1200), ("1\u00a0200,", None), ("1\u2009200.5", 1200.5), ("1'200", 1200),
        ("\u0663\u066b\u0665", 3.5), ("\uff11\uff12", 12), (".5", 0.5), ("5.", 5), ("1e-3", 0.001),
        ("0,123", None),
        ("1,2", None), ("1,2,3", None), ("10\u00b2", None), ("5kg", None), ("40-49", None), ("1.2.3", None),
        ("", None), ("-", None), ("--5", None), ("(-5)", None), ("1_000", None), ("0x10", None),
        ("inf", None),
        ("$5", None), ("9" * 100, None),
    ],
)  # fmt: skip
def test_a_number_is_read_as_written(text, number):
    assert Spelling().number(text) == number


@pytest.mark.parametrize(
    ("text", "spelling", "number"),
    [
        ("$1,234.50", Spelling(unit="$"), 1234.5), ("-$5", Spelling(unit="$"), -5),
        ("$-5", Spelling(unit="$"), -5),
        ("USD 5", Spelling(unit="USD"), 5), ("1.234,50 \u20ac", Spelling(",", "\u20ac"), 1234.5),
        ("5", Spelling(unit="$"), 5), ("\u20ac5", Spelling(unit="$"), None),
        ("12.3 %", Spelling(unit="%"), 12.3),
        ("12,3%", Spelling(",", "%"), 12.3), ("12.3", Spelling(unit="%"), None), ("0", Spelling(unit="%"), 0),
        ("%5", Spelling(unit="%"), None), ("1,200", Spelling(","), 1.2), ("1.200", Spelling(","), 1200),
    ],
)  # fmt: skip
def test_a_unit_is_not_part_of_the_number(text, spelling, number):
    assert spelling.number(text) == number


@pytest.mark.parametrize(
    ("texts", "point", "spelling"),
    [
        (["1,200", "900"], ".", Spelling(".")),
        (["1,200", "900"], ",", Spelling(",")),
        (["1,200", "1,5"], ".", Spelling(",")),
        (["1,200", "1.5"], ",", Spelling(".")),
        (["1,200,000", "1,200"], ",", Spelling(".")),
        (["1.200,5", "3"], ".", Spelling(",")),
        (["0,123", "1,200"], ".", Spelling(",")),
        (["$5", "6"], ".", Spelling(".", "$")),
        (["5%", "0"], ".", Spelling(".", "%")),
    ],
)
def test_the_whole_column_decides_the_decimal_mark(texts, point, spelling):
    evidence = Evidence()
    assert all(map(evidence.fits, texts))
    assert evidence.spelling(point) == spelling


@pytest.mark.parametrize("texts", [["1.5", "1,5"], ["$5", "\u20ac5"], ["5%", "6"], ["5", "five"]])
def test_a_column_of_two_spellings_is_not_of_numbers(texts):
    evidence = Evidence()
    assert [evidence.fits(text) for text in texts] == [True, False]


def prices(price, m=300):
    """Make a table whose price, written by `price`, decides y."""
    rng = np.random.default_rng(0)
    values = np.round(np.exp(rng.normal(6.5, 1, m)), 2)
    middle = np.median(values)
    rows = [f'c{i % 5},"{price(v)}",{"hi" if v > middle else "lo"}' for i, v in enumerate(values)]
    return "city,price,y\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("price", "example"),
    [
        (lambda v: f"${v:,.2f}", "'$754.25' is 754.25"),
        (lambda v: f"{v:.1f}%", "'754.2%' is 754.2"),
        (lambda v: f"{v:,.2f}", "'1,261.96' is 1261.96"),
        (lambda v: f"{v:,.2f}".replace(",", "\u00a0"), r"'1\xa0261.96' is 1261.96"),
        (lambda v: f"{v:.2f}".translate({48 + k: 0x0660 + k for k in range(10)}), "is 754.25"),
        (lambda v: f"\u00a0{v:.2f}", "spaces removed"),
    ],
)
def test_a_column_of_written_numbers_is_numeric(gpunn_, price, example):
    write("t.csv", prices(price))
    code, out, err = gpunn_("train", "t.csv", "--target", "y", "--device", "cpu", "--ensemble", 1)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "t.csv: 300 rows, 1 numeric column, 1 categorical column"
    assert lines[1].startswith("read as numbers: price (")
    assert example in lines[1]
    code, out, _ = gpunn_("evaluate", "gpunn-runs/t-1", "--json")
    assert json.loads(out)["accuracy"] > 0.9


def test_the_same_numbers_give_the_same_network(trained):
    write("plain.csv", prices(lambda v: f"{v:.2f}"))
    write("written.csv", prices(lambda v: f"${v:,.2f}"))
    for name in ("plain", "written"):
        trained(f"{name}.csv", "--target", "y", *QUICK, "--output", name)
    plain, written = Network.load("plain"), Network.load("written")
    assert np.array_equal(plain.theta, written.theta)
    assert "spellings" not in plain.meta["table"]
    assert written.meta["table"]["spellings"] == {"price": {"decimal": ".", "unit": "$"}}


def test_a_target_of_written_numbers_is_a_quantity(trained, gpunn_):
    write("t.csv", prices(lambda v: f"${v:,.2f}"))
    result = trained("t.csv", "--target", "price", *QUICK, "--output", "run")
    assert result["task"] == "regression"
    code, out, err = gpunn_("evaluate", "run", "--json")
    assert (code, err, json.loads(out)["rmse"]) == (0, "", pytest.approx(result["test_rmse"]))


def test_a_model_reads_other_tables_in_the_same_way(trained, gpunn_, refused):
    write("t.csv", prices(lambda v: f"${v:,.2f}"))
    trained("t.csv", "--target", "y", *QUICK, "--output", "run")
    write("a.csv", 'city,price\nc0,"$1,200"\nc1,$7.50\n')
    write("b.csv", "city,price\nc0,1200\nc1,7.50\n")
    write("c.csv", 'city,price\nc0,1200\nc1,"7.5"\n' + "c1,7\n" * 100_000 + 'c0,"$1,200"\n')
    outputs = [gpunn_("predict", "run", name) for name in ("a.csv", "b.csv", "c.csv")]
    assert [(code, err) for code, _, err in outputs] == [(0, "")] * 3
    assert outputs[0][1] == outputs[1][1]
    assert outputs[2][1].splitlines()[-1] == outputs[0][1].splitlines()[1]
    write("d.csv", "city,price\nc0,$5\nc1,\u20ac5\n")
    refused(
        ["predict", "run", "d.csv"], "d.csv, line 3, column 'price': '\u20ac5' is not a number", "the unit $"
    )
    model = gpunn.tables.load_model("run")
    p = model.predict_proba({"city": ["c0"], "price": [1200.0]})
    assert np.array_equal(p, model.predict_proba({"city": ["c0"], "price": ["$1,200"]}))


def test_numbers_that_change_their_spelling_late_are_read(trained):
    rows = "".join(f"{i % 1000},{'np'[i % 2]}\n" for i in range(200_000))
    write("t.csv", "x,y\n" + rows + '"1,200",n\n')
    trained("t.csv", "--target", "y", *QUICK, "--epochs", "1", "--output", "run")
    assert Network.load("run").meta["table"]["spellings"] == {"x": {"decimal": ".", "unit": ""}}


def test_a_semicolon_makes_a_comma_a_decimal_mark(gpunn_):
    for delimiter, mean in ((";", 1.45), ("\t", 1450)):
        rows = "".join(f"1,{100 * (i % 10):03}{delimiter}{'np'[i % 2]}\n" for i in range(60))
        write("t.csv", f"x{delimiter}y\n{rows}")
        code, out, _ = gpunn_(
            "train", "t.csv", "--target", "y", *QUICK, "--held-out", "0.5", "--output", "run"
        )
        assert code == 0
        assert ("decimal commas" in out, "'1,000' is 1000" in out) == (mean < 2, mean > 2)
        column = Network.load("run").meta["table"]["columns"][0]
        assert column["mean"] == pytest.approx(mean, rel=0.2)
        gpunn_("predict", "run", "t.csv")
        shutil.rmtree("run")


def test_a_table_in_memory_is_read_as_written_too():
    pandas = pytest.importorskip("pandas")
    values = [f"${i * 37 % 1100:,}.00" for i in range(60)]
    data = pandas.DataFrame({"price": values, "code": [str(i % 3) for i in range(60)], "y": ["a", "b"] * 30})
    model = gpunn.tables.train(data, "y", epochs=1, device="cpu")
    assert model.preprocessing.kinds == {"price": "number", "code": "text"}
    assert model.spellings == {"price": Spelling(".", "$")}
    assert model.notes == ("read as numbers: price ('$0.00' is 0)",)


def test_an_onnx_file_takes_the_numbers(gpunn_, trained):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    write("t.csv", prices(lambda v: f"${v:,.2f}"))
    trained("t.csv", "--target", "y", *QUICK, "--output", "run")
    assert gpunn_("export", "run", "t.onnx")[0] == 0
    session = onnxruntime.InferenceSession("t.onnx")
    assert {column.name: column.type for column in session.get_inputs()}["price"] == "tensor(float)"
    write("p.csv", 'city,price\nc0,"$1,200"\n')
    given = {"city": np.array([["c0"]], object), "price": np.array([[1200]], np.float32)}
    expected = json.loads(gpunn_("predict", "run", "p.csv", "--json")[1])["predictions"][0]
    assert session.run(None, given)[0].max() == pytest.approx(expected["probability"], abs=1e-6)


def test_mixed_units_are_told_by_line(refused):
    rows = "".join(f'"{"€" if i == 40 else "$"}{i},000",{"np"[i % 2]}\n' for i in range(60))
    write("t.csv", "x,y\n" + rows)
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 42, column 'x': '€40,000' is not a number")


def test_thousands_beside_words_are_told_by_line(refused, gpunn_):
    write("t.csv", "x,y\n" + "".join(f'"{i},000",{"np"[i % 2]}\n' for i in range(1, 60)) + "none,n\n")
    refused(
        ["train", "t.csv", "--target", "y"], "t.csv, line 61, column 'x': 'none' is not a number", "--missing"
    )
    rows = "".join(f'"{i},000",{"np"[i % 2]}\nword{i},p\n' for i in range(1, 60))
    write("u.csv", "x,z,y\n" + rows.replace(",n\n", ",0,n\n").replace(",p\n", ",1,p\n"))
    out = gpunn_("train", "u.csv", "--target", "y", *QUICK)[1]
    assert "column 'x' is read as strings: line 3 has 'word1' among numbers" in out


def test_a_model_of_plain_numbers_reads_written_ones(trained, gpunn_, refused):
    write("t.csv", prices(lambda v: f"{v:.2f}"))
    trained("t.csv", "--target", "y", *QUICK, "--output", "run")
    expected = gpunn_("predict", "run", "t.csv")[1]
    for how in ("${:,.2f}", "{:,.2f}"):
        write("w.csv", prices(how.format))
        code, out, err = gpunn_("predict", "run", "w.csv")
        assert (code, out, err.count("\n")) == (0, expected, 2)
        assert err.startswith("gpunn: read as numbers: price ('")
        assert gpunn_("evaluate", "run", "w.csv", "--json")[0] == 0
    for text in ("12%", "five"):
        write("w.csv", prices(lambda v, text=text: text))
        refused(["predict", "run", "w.csv"], f"w.csv, line 2, column 'price': '{text}' is not a number")
    model = gpunn.tables.load_model("run")
    p = model.predict_proba({"city": ["c0"], "price": [1200.0]})
    for text in ("1200", "$1,200"):
        assert np.array_equal(p, model.predict_proba({"city": ["c0"], "price": [text]}))
