"""Excel files: read as the CSV file of the same table is."""

from __future__ import annotations

import datetime
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, fruits, write

from gpunn.network import Network
from gpunn.tables.loading import load
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import Format, open_file
from gpunn.tables.sources import excel

pytest.importorskip("pyarrow")
openpyxl = pytest.importorskip("openpyxl")


def workbook(name, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        page = book.create_sheet(title)
        for row in rows:
            page.append(row)
    book.save(name)


def number(text):
    try:
        return float(text)
    except ValueError:
        return text or None


FRUITS = [[number(value) for value in line.split(",")] for line in fruits().splitlines()]


def test_an_excel_file_trains_the_network_of_its_csv_file(trained, gpunn_):
    workbook("fruits.xlsx", Fruits=FRUITS)
    write("fruits.csv", fruits())
    for name in ("fruits.xlsx", "fruits.csv"):
        trained(name, "--target", "kind", *QUICK, "--output", name[-4:].strip("."))
    assert np.array_equal(Network.load("xlsx").theta, Network.load("csv").theta)
    assert gpunn_("evaluate", "xlsx")[0] == 0
    assert gpunn_("predict", "xlsx", "fruits.csv") == gpunn_("predict", "csv", "fruits.xlsx")


def test_a_sheet_can_be_named(trained, gpunn_, refused):
    workbook("t.xlsx", Notes=[["read me"]], Fruits=FRUITS)
    refused(["train", "t.xlsx", "--target", "kind"], "t.xlsx")
    refused(["train", "t.xlsx", "--target", "kind", "--sheet", "Fruit"], "t.xlsx: unknown sheet", "'Fruits'")
    trained("t.xlsx", "--target", "kind", "--sheet", "Fruits", *QUICK, "--output", "run")
    assert gpunn_("evaluate", "run")[0] == gpunn_("predict", "run", "t.xlsx")[0] == 0  # as in training
    refused(["predict", "run", "t.xlsx", "--sheet", "Notes"], "t.xlsx has a header but no rows")


def test_rows_are_counted_as_excel_counts_them(refused):
    rows = [
        [None],
        ["a", "b", "y"],
        [1, "x\nz", True],
        [],
        [None, None, None],
        [2, "x", False],
        [3, "y", 1, 9],
    ]
    workbook("t.xlsx", Sheet1=rows)
    refused(["train", "t.xlsx", "--target", "y"], "t.xlsx, row 7: 4 values, but the table has 3 columns")
    workbook("t.xlsx", Sheet1=[*rows[:-1], [datetime.date(2024, 1, 31), "#N/A", "a,b"]] * 2)
    source = open_file(Path("t.xlsx"), Format(header=True))
    assert list(source.kinds) == ["a", "b", "y"]
    assert source.place(2) == "row 7"


def test_values_are_written_as_a_csv_file_has_them():
    day, time = datetime.datetime(2024, 1, 31), datetime.datetime(2024, 1, 31, 12, 30)
    values = [1, 1.5, True, None, "a\nb", day, time, day.date()]
    expected = ["1", "1.5", "True", "", "a b", "2024-01-31", "2024-01-31 12:30:00", "2024-01-31"]
    assert [excel._in_csv(value) for value in values] == expected


def test_damaged_files_and_other_spreadsheets_are_named(refused, monkeypatch):
    workbook("t.xlsx", Sheet1=FRUITS)
    whole = Path("t.xlsx").read_bytes()
    for damaged in (whole[:2000], b"nothing", whole[:900] + bytes(200) + whole[1100:]):
        Path("t.xlsx").write_bytes(damaged)
        refused(["train", "t.xlsx", "--target", "kind"], "t.xlsx is not a readable Excel file: ")
    for name in ("t.xls", "t.ods"):
        write(name, "nothing")
        refused(["train", name, "--target", "kind"], f"{name} is a spreadsheet", "save it as .xlsx or .csv")
    with zipfile.ZipFile("t.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(3 << 20))
    monkeypatch.setattr(excel, "STRINGS", 1 << 20)
    refused(["train", "t.xlsx", "--target", "kind"], "t.xlsx", "unpacks to 3,145,728 bytes")
    with zipfile.ZipFile("t.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(3 << 20))
    monkeypatch.setattr(excel, "ALWAYS", 1 << 20)
    refused(["train", "t.xlsx", "--target", "kind"], "t.xlsx", "unpacks to 3,145,728 bytes")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    refused(["train", "t.xlsx", "--target", "kind"], "t.xlsx", 'pip install "gpunn[excel]"')


def test_dates_in_cells_are_dates():
    rows = [["when", "y"], *([datetime.date(2024, 1, 1 + i % 28), i % 2] for i in range(60))]
    workbook("t.xlsx", Sheet1=rows)
    table, _ = load(Path("t.xlsx"), TableOptions(target="y"), "float32")
    assert [column.name for column in table.columns] == [
        f"when {part}" for part in ("year", "month", "weekday", "days")
    ]
    assert table.rows[:2, 2].tolist() == [0, 1]  # Monday and Tuesday
