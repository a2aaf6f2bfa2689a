"""Columns of dates become numbers, in training and in what a model reads."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from tabular import QUICK, write

import gpunn
from gpunn.tables.dates import PARTS, Dates, find_dates, parse
from gpunn.tables.reading import Format, open_table

pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    ("text", "order", "moment"),
    [
        ("2024-02-29", "ymd", (2024, 2, 29)), ("2024/2/9 7:05", "ymd", (2024, 2, 9, 7, 5)),
        ("2024-02-29T18:30:15.25Z", "ymd", (2024, 2, 29, 18, 30, 15)),
        ("29.02.2024", "dmy", (2024, 2, 29)), ("02/29/2024", "mdy", (2024, 2, 29)),
        ("2024-02-29 18:30:00+02:00", "ymd", (2024, 2, 29, 18, 30)),
        ("2023-02-29", "ymd", None), ("2024-13-01", "ymd", None), ("2024-02/29", "ymd", None),
        ("13/13/2024", "dmy", None), ("1.2", "dmy", None), ("20240229", "ymd", None),
        ("2024-01-01 25:00", "ymd", None),
    ],
)  # fmt: skip
def test_a_date_is_read_as_written(text, order, moment):
    assert parse(text, order) == (moment and datetime.datetime(*moment))


@pytest.mark.parametrize(
    ("texts", "order", "timed"),
    [
        (["2024-01-05", "", "2024-02-01"], "ymd", False),
        (["2024-01-05 00:00", "2024-02-01 12:00"], "ymd", True),
        (["01/05/2024", "01/13/2024"], "mdy", False),
        (["01/05/2024", "13/01/2024"], "dmy", False),
        (["01/05/2024", "02/01/2024"], "mdy", False),
        (["01.05.2024", "02.01.2024"], "dmy", False),
        (["01/13/2024", "13/01/2024"], None, False),
        (["2024-01-05", "never"], None, False),
        (["", ""], None, False),
    ],
)
def test_the_whole_column_decides_the_order(texts, order, timed):
    source = open_table({"day": np.array(texts), "y": np.arange(len(texts))}, Format())
    found = find_dates(source, ["day"])
    parts = tuple(part for part in PARTS if part != "hour" or timed)
    assert found == ({"day": (Dates(order, parts), texts[0])} if order else {})


def sales(day):
    """Make a table in which the weekday decides y. day: writes a date."""
    begin = datetime.datetime(2024, 1, 1)
    days = [begin + datetime.timedelta(days=7 * (k % 40) + k // 40) for k in range(280)]
    rows = (f"{day(d)},{k % 3},{'weekend' if d.weekday() > 4 else 'week'}" for k, d in enumerate(days))
    return "day,x,y\n" + "\n".join(rows) + "\n"


def test_a_column_of_dates_is_learnt(gpunn_, refused):
    write("t.csv", sales(lambda d: f"{d:%d.%m.%Y}"))
    code, out, err = gpunn_("train", "t.csv", "--target", "y", "--device", "cpu", "--output", "run")
    assert (code, err) == (0, "")
    note = "has dates, read as numbers: day ('01.01.2024' is 2024-01-01: year, month, weekday, days)"
    assert f"t.csv {note}\n" in out
    assert gpunn.tables.load_model("run").evaluate()["accuracy"] > 0.95
    assert gpunn_("predict", "run", "t.csv")[2] == ""
    write("gap.csv", "day,x\n,1\n06.01.2024,1\n")
    assert gpunn_("predict", "run", "gap.csv")[1].splitlines()[2].startswith("weekend,")
    write("odd.csv", "day,x\n06.01.2024,1\nSaturday,1\n")
    refused(["predict", "run", "odd.csv"], "odd.csv, line 3, column 'day': 'Saturday' is not a date written")
    write("none.csv", "x\n1\n")
    refused(["predict", "run", "none.csv"], "none.csv lacks the column 'day', which held dates in training")


def test_dates_are_the_same_in_frames_and_files(trained, gpunn_):
    pandas = pytest.importorskip("pandas")
    write("t.csv", sales(lambda d: f"{d:%Y-%m-%d}"))
    trained("t.csv", "--target", "y", *QUICK, "--output", "run", "--test", "t.csv")
    frame = pandas.read_csv("t.csv", parse_dates=["day"])
    settings = {"epochs": 3, "hidden": 8, "device": "cpu", "patience": 0, "test": "t.csv"}
    model = gpunn.tables.train(frame, "y", **settings)
    assert np.array_equal(model.network.theta, gpunn.Network.load("run").theta)
    assert np.array_equal(model.predict_proba(frame), model.predict_proba("t.csv"))


def test_dates_may_stay_categories_or_be_ignored(gpunn_):
    write("t.csv", sales(lambda d: f"2024-0{d.month}-01"))
    for option in ("--category", "--ignore"):
        _, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK, option, "day", "--output", option[2:])
        assert "has dates" not in out
    assert "dates" not in gpunn.Network.load("category").meta["table"]
