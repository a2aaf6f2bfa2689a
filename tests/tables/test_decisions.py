"""The table of what was decided about each column: printed, in the report, and kept with the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, decided, write

from gpunn.cli.columns import describe_columns
from gpunn.report.run import Run
from gpunn.tables.decisions import Decision
from gpunn.tables.preprocessing import BINS

pytest.importorskip("pyarrow")

HEAD = "user_id,name,age,price,city,joined,five,void,extra,y"


def people(m=300):
    rows = [
        f'{9000 - 7 * i},Name {i},{i % 50 if i % 20 else ""},"${1000 + i:,}.50",{["Rome", "Paris"][i % 2]},'
        f"{1 + i % 28} Mar 20{10 + i % 9},5,,{i % 3},{['no', 'yes'][i % 4 > 1]}"
        for i in range(m)
    ]
    return "\n".join([HEAD, *rows, "1,x,2,$3,Rome,1 Mar 2011,5,,0,"]) + "\n"


def test_every_column_of_the_file_is_decided_about(gpunn_):
    write("t.csv", people())
    code, out, err = gpunn_("train", "t.csv", "--target", "y", "--drop", "extra", *QUICK, "--output", "run")
    assert (code, err) == (0, "")
    assert out.startswith("t.csv: 300 rows, 5 numeric columns, 1 categorical")
    assert "15 missing values" in out.splitlines()[0]  # of void, which is not in use, none
    differs = "left out: different in every row, like an identifier or free text"
    assert decided(out) == {
        "user_id": differs, "name": differs, "age": f"scaled, {BINS} codes, missing flagged",
        "price": f"scaled, {BINS} codes", "city": "one-hot, 2 inputs", "joined": "year, weekday, days",
        "five": "left out: always 5", "void": "left out: empty", "extra": "left out: --drop",
        "y": "the target",
    }  # fmt: skip
    kept = {column.name: column for column in Run.load(Path("run")).columns}
    assert list(kept) == HEAD.split(",")
    assert kept["price"] == Decision("price", "number ($)", "1000.5 … 1299.5", 0, f"scaled, {BINS} codes")
    assert kept["joined"].values == "2010-03-01 … 2018-03-28"
    assert (kept["city"].values, kept["city"].kind) == ("2: Paris, Rome", "category")
    assert kept["y"].values == "no × 150, yes × 150"
    assert (kept["age"].missing, kept["void"].missing, kept["extra"].missing) == (15, 300, None)
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert '<section id="columns">' in page and "left out: always 5" in page


def test_json_prints_no_table(trained):
    write("t.csv", people())
    trained("t.csv", "--target", "y", *QUICK)


@pytest.mark.parametrize("width", [70, 80, 200])
def test_the_table_fits_the_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    columns = [
        Decision("名前の列" * 9, "number (CHF)", "1 … 2", 123_456_789, "scaled, 14 inputs, missing as 1.5"),
        Decision("b\nc", "text", "more than 1,000, such as " + "x" * 90, None, why="free text " * 5),
    ]
    lines = describe_columns(columns)
    assert max(map(len, lines)) <= width
    assert ("values" in lines[0]) == (width > 70)
    assert any("b c" in line for line in lines)


def test_very_many_columns_take_few_lines(gpunn_):
    names = ",".join(f"x{k}" for k in range(300))
    rng = np.random.default_rng(0)
    rows = (",".join(f"{x:.3f}" for x in rng.normal(size=300)) + f",5,{'np'[i % 2]}" for i in range(60))
    write("t.csv", f"{names},five,y\n" + "\n".join(rows) + "\n")
    _, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK, "--output", "run")
    assert "… and 282 more columns: 280 × number, 1 × category; left out: five" in out
    assert len(out.splitlines()) < 40
    assert len(json.loads(Path("run/run.json").read_text(encoding="utf-8"))["columns"]) == 302


def test_few_rows_have_no_identifiers(gpunn_):
    write("t.csv", "id,x,y\n" + "".join(f"{90 - 3 * i},{i % 5},{'np'[i % 2]}\n" for i in range(18)))
    _, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert decided(out)["id"].startswith("scaled, ")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("id", True),
        ("customer_id", True),
        ("PassengerId", True),
        ("UUID", True),
        ("paid", False),
        ("grid", False),
    ],
)
def test_whole_numbers_are_identifiers_by_their_names(gpunn_, name, found):
    write("t.csv", f"{name},x,y\n" + "".join(f"{900 - 7 * i},{i % 5},{'np'[i % 2]}\n" for i in range(60)))
    _, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert decided(out)[name].startswith("left out: different in every row") == found
