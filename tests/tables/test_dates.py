"""Columns of dates become numbers, in training and in what a model reads."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from tabular import QUICK, not_used, write

import gpunn
from gpunn.tables.dated import find_dates
from gpunn.tables.dates import PARTS, Dates, parse
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import Format, open_table
from gpunn.training.option import from_kept

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
        ("12 Mar 2024", "dmy", (2024, 3, 12)), ("12-Mar-24", "dmy", (2024, 3, 12)),
        ("1. sept. 1999", "dmy", (1999, 9, 1)), ("3rd of May 2021", "dmy", (2021, 5, 3)),
        ("Tue, 12 Mar 2024 10:00:05 GMT", "dmy", (2024, 3, 12, 10, 0, 5)), ("30 Feb 2024", "dmy", None),
        ("March 12, 2024", "mdy", (2024, 3, 12)), ("Mar 12 1969", "mdy", (1969, 3, 12)),
        ("MAY 5, 2024 12:30 a.m.", "mdy", (2024, 5, 5, 0, 30)), ("2024-Mar-12", "ymd", (2024, 3, 12)),
        ("3/12/24 2:30 PM", "mdy", (2024, 3, 12, 14, 30)), ("3/12/24 14:30 PM", "mdy", None),
        ("31/12/69", "dmy", (1969, 12, 31)), ("31.12.68", "dmy", (2068, 12, 31)), ("1.2.10", "dmy", None),
        ("2024-03", "ym", (2024, 3, 1)), ("Mar 2024", "ym", (2024, 3, 1)), ("2024-13", "ym", None),
        ("March", "ym", None), ("20240312", "yyyymmdd", (2024, 3, 12)), ("20241312", "yyyymmdd", None),
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
        (["12 Mar 2024", "3 April 2024"], "dmy", False),
        (["March 12, 2024", "Apr 3 2024 10:00"], "mdy", True),
    ],
)
def test_the_whole_column_decides_the_order(texts, order, timed):
    source = open_table({"day": np.array(texts), "y": np.arange(len(texts))}, Format())
    found = find_dates(source, ["day"]).get("day")
    parts = tuple(part for part in PARTS if part != "hour" or timed)
    assert (found and found.dates) == (Dates(order, parts) if order else None)


def sales(day):
    """Make a table in which the weekday decides y. day: writes a date."""
    begin = datetime.datetime(2024, 1, 1)
    days = [begin + datetime.timedelta(days=7 * (k % 40) + k // 40) for k in range(280)]
    rows = (f"{day(d)},{k % 3},{'weekend' if d.weekday() > 4 else 'week'}" for k, d in enumerate(days))
    return "day,x,y\n" + "\n".join(rows) + "\n"


def test_a_column_of_dates_is_learnt(gpunn_, refused):
    write("t.csv", sales(lambda d: f"{d:%d.%m.%Y}"))
    options = "--device", "cpu", "--ensemble", 1, "--output", "run"
    code, out, err = gpunn_("train", "t.csv", "--target", "y", *options)
    assert (code, err) == (0, "")
    note = "has dates, read as numbers: day ('01.01.2024' is 2024-01-01: year, month, weekday, days)"
    assert f"t.csv {note}\n" in out
    assert gpunn.tables.load_model("run").evaluate()["accuracy"] > 0.95
    assert gpunn_("predict", "run", "t.csv")[2] == not_used("y")
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
    settings = {"epochs": 3, "hidden": 8, "device": "cpu", "patience": 0, "ensemble": 1, "test": "t.csv"}
    model = gpunn.tables.train(frame, "y", **settings)
    assert np.array_equal(model.network.theta, gpunn.Network.load("run").theta)
    assert np.array_equal(model.predict_proba(frame), model.predict_proba("t.csv"))


def test_dates_may_stay_categories_or_be_ignored(gpunn_):
    write("t.csv", sales(lambda d: f"2024-0{d.month}-01"))
    for option in ("--categorical", "--drop", "--category", "--ignore"):
        _, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK, option, "day", "--output", option[2:])
        assert "has dates" not in out
    assert "dates" not in gpunn.Network.load("category").meta["table"]


def test_months_without_days_have_no_weekday():
    source = open_table({"month": np.array(["Mar 2024", "Apr 2024"]), "y": np.arange(2)}, Format())
    assert find_dates(source, ["month"])["month"].dates == Dates("ym", ("year", "month", "days"))


@pytest.mark.parametrize(
    "day", [lambda d: f"{d:%d %b %Y}", lambda d: f"{d:%B %d, %Y}", lambda d: f"{d:%d-%b-%y}"]
)
def test_dates_with_the_names_of_months_are_learnt(gpunn_, day):
    write("t.csv", sales(lambda d: f'"{day(d)}"'))
    code, out, _ = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert code == 0
    assert (
        f"has dates, read as numbers: day ('{day(datetime.datetime(2024, 1, 1))}' is 2024-01-01: year" in out
    )


def test_numbers_are_dates_if_the_user_says_so(gpunn_, trained):
    write("t.csv", sales(lambda d: f"{d:%Y%m%d}"))
    assert "has dates" not in gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    trained("t.csv", "--target", "y", "--date", "day", *QUICK, "--output", "run")
    assert gpunn.Network.load("run").meta["table"]["dates"]["day"]["order"] == "yyyymmdd"
    assert gpunn_("predict", "run", "t.csv")[0] == 0


def test_a_string_among_dates_is_told_by_its_line(gpunn_, refused):
    rows = sales(lambda d: f"{d:%Y-%m-%d}").splitlines()
    rows[9] = "soon,1,week"
    write("t.csv", "\n".join(rows) + "\n")
    train = "train", "t.csv", "--target", "y", *QUICK
    _, out, _ = gpunn_(*train)
    assert (
        "t.csv has strings in the column 'day': line 10 has 'soon' among dates; --missing 'soon' takes" in out
    )
    where = "t.csv, line 10, column 'day': 'soon' is not a date written like the others (year, month, day)"
    refused([*train, "--date", "day"], where, "--missing 'soon'")
    assert "'2024-01-01' is 2024-01-01" in gpunn_(*train, "--date", "day", "--missing", "soon")[1]
    refused([*train, "--date", "x"], "line 2, column 'x': '0' is not a date; dates are written as 2024-03-12")


def test_what_is_said_of_a_column_must_agree(refused):
    write("t.csv", sales(lambda d: f"{d:%Y-%m-%d}"))
    train = "train", "t.csv", "--target", "y"
    refused([*train, "--date", "day", "--drop", "x", "day"], "--drop and --date exclude each other", "'day'")
    refused([*train, "--date", "y"], "'y' is the target and cannot be read as dates")
    refused([*train, "--date", "dya"], "unknown column 'dya': did you mean 'day'")


def test_options_of_older_runs_have_their_present_names():
    kept = {"category": ["zip"], "ignore": ["id"]}
    assert from_kept(TableOptions, kept) == TableOptions(categorical=["zip"], drop=["id"])
